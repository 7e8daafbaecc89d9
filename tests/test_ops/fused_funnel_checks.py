"""The fused funnel activation against its definition in double precision; run by test_fused.py."""

import copy
import pickle

import pytest
import torch
from fused_cases import (
    DEVICE,
    TOLERANCE,
    Case,
    build,
    compare,
    features,
    fused_funnel,
    reference,
    results,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from mm_frelu import FReLU
from mm_frelu.ops.fused import why_not_funnel

HALF = torch.float16
BFLOAT = torch.bfloat16

# Ragged in every direction: neither sides nor channels are multiples of what a program or patch holds.
QUICK = [
    Case((2, 3, 7, 5)),
    Case((1, 2, 5, 8), mode='fixed'),
    Case((2, 3, 6, 5), channels_last=True),
    Case((2, 3, 5, 4), light='sum'),
    Case((1, 3, 5, 6), light='max', mode='fixed', channels_last=True),
    Case((1, 2, 5, 6), kernel_size=5),
    Case((3, 2, 1, 2), mode='none'),
    Case((1, 2, 4, 4), dtype=BFLOAT),
    Case((1, 33, 2, 3), mode='fixed', channels_last=True, dtype=HALF),
]
GRID = [
    Case(shape, mode, size, light, last, dtype)
    for shape, dtype in [((2, 5, 9, 13), torch.float32), ((1, 35, 4, 12), BFLOAT)]
    for mode in ('batch', 'fixed', 'none')
    for size in (3, 7)
    for light in (None, 'sum', 'max')
    for last in (False, True)
]
REAL = [
    Case(shape, mode, size, light, last, dtype)
    for shape in [(4, 64, 128, 256), (2, 256, 50, 84), (2, 512, 25, 167), (8, 96, 7, 7)]
    for mode in ('batch', 'fixed')
    for size, light in [(3, None), (5, None), (3, 'sum'), (3, 'max')]
    for last in (False, True)
    for dtype in (torch.float32, HALF, BFLOAT)
]


def in_memory(x):
    """Strides, but for dimensions of size 1, where they mean nothing."""
    return [stride for size, stride in zip(x.shape, x.stride()) if size > 1]


def check(case: Case, smallest: float = 1e-6) -> None:
    layer, x, grad = build(case), features(case), features(case, seed=1)
    expected = results(reference, copy.deepcopy(layer).double(), x.double(), grad.double())
    with torch.autocast(DEVICE, case.dtype, enabled=case.dtype != torch.float32):
        assert why_not_funnel(x, layer.windows) is None
        found = results(fused_funnel, layer, x, grad)
    assert found['y'].dtype == found['x.grad'].dtype == case.dtype
    assert in_memory(found['y']) == in_memory(found['x.grad']) == in_memory(x)
    if case.mode == 'batch':
        for name in [name for name in found if 'conv' in name and name.endswith('bias.grad')]:
            # The statistics take the bias out again: its gradient is zero but for rounding.
            assert not found.pop(name).any()
            expected.pop(name)
    # Where T nearly equals x rounding decides which of them gets the gradient.
    compare(found, expected, TOLERANCE[case.dtype], smallest)


@pytest.mark.parametrize('case', QUICK, ids=str)
def test_values_and_gradients(case):
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize('case', GRID, ids=str)
def test_values_and_gradients_over_a_grid(case):
    check(case)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, database=None)
@given(
    case=st.builds(
        Case,
        shape=st.tuples(*(st.integers(1, most) for most in (3, 70, 9, 70))),
        mode=st.sampled_from(['batch', 'fixed', 'none']),
        kernel_size=st.sampled_from([1, 3, 5]),
        light=st.sampled_from([None, 'sum', 'max']),
        channels_last=st.booleans(),
        dtype=st.just(torch.float32),
    )
)
def test_values_and_gradients_of_any_shape(case):
    n, c, h, w = case.shape
    assume(case.mode != 'batch' or n * h * w > 1)
    # The interpreter takes a second for a few programs.
    assume(n * c * h * w < 4000)
    # A norm takes the scale of a lone tap out again: the tap's gradient cancels to rounding errors of its parts.
    check(case, smallest=4.0)


@pytest.mark.gpu
@pytest.mark.parametrize('case', REAL, ids=str)
def test_values_and_gradients_of_real_sizes(case):
    check(case)


def test_statistics_of_features_far_from_zero():
    """The mean is 10000 times the spread: a sum of squares in single precision would keep no digit of the variance."""
    case = Case((2, 2, 5, 4))
    x = features(case)
    layer = build(case)
    with torch.no_grad():
        # Taps that pick the pixel itself, so that the border's zeros do not enter.
        layer.conv.weight.zero_()[:, :, 1, 1] = 1.0
    far = (x + 1e4).requires_grad_()
    fused_funnel(far, layer.windows, 'sum')
    variance = far.detach().double().var(dim=(0, 2, 3))
    start = build(case).norm.running_var.double()
    torch.testing.assert_close(
        layer.norm.running_var.double(), 0.9 * start + 0.1 * variance, rtol=1e-4, atol=0
    )


@pytest.mark.parametrize('momentum', [None, 0.0, 0.3])
def test_running_statistics(momentum):
    case = Case((2, 2, 3, 3))
    layer, expected = build(case), build(case)
    for of in (layer, expected):
        of.norm.momentum = momentum
    for seed in range(2):
        x = features(case, seed)
        with torch.no_grad():
            fused_funnel(x, layer.windows, 'sum')
            reference(x, expected.windows, 'sum')
    assert layer.norm.num_batches_tracked == 2
    for name in ('running_mean', 'running_var'):
        torch.testing.assert_close(getattr(layer.norm, name), getattr(expected.norm, name))


def test_without_running_statistics_the_batch_counts_in_inference_too():
    case = Case((2, 2, 3, 3))
    layer = FReLU(2, norm_cfg=dict(type='BN', track_running_stats=False)).to(DEVICE).eval()
    x = features(case)
    found = fused_funnel(x, layer.windows, 'sum')
    torch.testing.assert_close(found, reference(x, layer.windows, 'sum'))


@pytest.mark.parametrize('light', [False, True])
def test_ties_give_each_side_half(light):
    """An identity start is ReLU: at zero, x and T(x) are equal."""
    case = Case((1, 1, 2, 4), light='max' if light else None)
    layer = build(case).eval()
    for _, norm in layer.windows:
        nn.init.zeros_(norm.weight)
        nn.init.zeros_(norm.bias)
    x = torch.tensor([[-1.0, 0.0, 2.0, 0.0], [0.0, -3.0, 4.0, 0.0]], device=DEVICE)
    x = x.reshape(case.shape).requires_grad_()
    y = fused_funnel(x, layer.windows, layer.combine)
    y.sum().backward()
    assert torch.equal(y, x.clamp(min=0))
    assert torch.equal(x.grad, (x.detach().sign() + 1) / 2)
    # Half of the gradient of the ties goes to T, and two equal windows share it.
    of_conditions = (x.detach() < 0).sum() + 0.5 * (x == 0).sum()
    for _, norm in layer.windows:
        assert norm.bias.grad.item() == of_conditions.item() / len(layer.windows)


def test_not_a_number_is_passed_on():
    case = Case((1, 1, 4, 4), mode='fixed')
    x = features(case)
    x[0, 0, 0, 0] = float('nan')
    layer = build(case)
    found = fused_funnel(x, layer.windows, 'sum')
    assert torch.equal(found.isnan(), reference(x, layer.windows, 'sum').isnan())


def test_two_runs_agree_to_the_last_bit():
    case = Case((2, 2, 2, 6))
    first, second = (
        results(fused_funnel, build(case), features(case), features(case, 1)) for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_keeps_x_and_numbers_per_channel():
    case = Case((2, 3, 2, 8))
    layer, x = build(case), features(case).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        fused_funnel(x, layer.windows, 'sum')
    large = [tensor for tensor in kept if tensor.numel() >= x.numel()]
    assert len(large) == 1
    assert large[0].data_ptr() == x.data_ptr()


def test_checkpointed_and_copied_and_pickled():
    case = Case((1, 2, 4, 4), mode='fixed')
    layer, x, grad = build(case), features(case), features(case, 1)
    expected = results(fused_funnel, layer, x, grad)

    def with_checkpoint(x, windows, combine):
        return checkpoint(fused_funnel, x, windows, combine, use_reentrant=False)

    compare(results(with_checkpoint, layer, x, grad), expected, 0)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(layer)))
    compare(results(fused_funnel, copied, x, grad), expected, 0)


def test_non_dense_input():
    case = Case((1, 2, 4, 4), mode='fixed')
    layer = build(case)
    x = features(Case((1, 4, 8, 4)))[:, ::2, ::2]
    torch.testing.assert_close(
        fused_funnel(x, layer.windows, 'sum'), reference(x, layer.windows, 'sum')
    )


def test_operators_are_sound():
    """Schema and fake implementation, by torch's own check. Their gradient is the site's."""
    from mm_frelu.ops.fused import funnel_ops

    case = Case((1, 2, 2, 4))
    layer, x = build(case), features(case)
    conv, norm = layer.windows[0]
    tensors = conv.weight, norm.weight, norm.bias, conv.bias, norm.running_mean, norm.running_var
    lists = [[tensor.detach()] for tensor in tensors]
    for operator, args in [
        (funnel_ops.funnel_statistics, (x, lists[0], '')),
        (funnel_ops.funnel_activate, (x, *lists, False, 1e-5)),
        (funnel_ops.funnel_backward, (x, x, *lists, False, 1e-5, True, '')),
    ]:
        torch.library.opcheck(operator, args, test_utils=('test_schema', 'test_faketensor'))


def test_reasons():
    case = Case((1, 4, 4, 4))
    x = features(case)

    def why(layer=None, x=x):
        layer = layer or build(case)
        return why_not_funnel(x, layer.windows)

    assert why() is None
    assert 'empty' in why(x=x[:0])
    assert 'float64' in why(x=x.double())
    assert 'dimensions' in why(x=x[0])
    assert 'no autocast' in why(x=x.bfloat16())
    assert 'GroupNorm' in why(FReLU(4, norm_cfg=dict(type='GN', num_groups=2)).to(DEVICE))
    assert 'undilated' in why(FReLU(4, dilation=2).to(DEVICE))
    assert 'larger than 7' in why(FReLU(4, kernel_size=9).to(DEVICE))
    assert 'more than one value' in why(x=x[:, :, :1, :1])
    hooked = build(case)
    hooked.norm.register_forward_hook(lambda *_: None)
    assert 'hooks' in why(hooked)
    parametrized = build(case)
    nn.utils.parametrizations.weight_norm(parametrized.conv)
    assert 'Conv2d' in why(parametrized)
