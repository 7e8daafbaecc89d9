"""What a network computes with ``recompute_norms`` and without, compared."""

import copy

from torch.testing import assert_close


def without(model):
    """A copy that keeps what comes out of the norms."""
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if hasattr(module, 'recompute_norms'):
            module.recompute_norms = False
    return plain


def step(model, x):
    """Forward and backward; returns the features."""
    outs = model(x)
    sum(out.square().mean() for out in outs).backward()
    return outs


def assert_same_step(model, plain, x):
    """Features, gradients and statistics of a step in double precision agree, and so do the keys."""
    for ours, expected in zip(step(model, x), step(plain, x)):
        assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    assert list(model.state_dict()) == list(plain.state_dict())
    for (name, ours), expected in zip(model.named_parameters(), plain.parameters()):
        if expected.grad is None:
            assert ours.grad is None, name
        else:
            # Zeros on one side are rounding errors on the other: a bias before a batch norm.
            scale = max(expected.grad.abs().max().item(), 1e-3)
            assert (ours.grad - expected.grad).abs().max() <= 1e-10 * scale, name
    for ours, expected in zip(model.buffers(), plain.buffers()):
        assert_close(ours, expected, rtol=1e-10, atol=1e-12)
