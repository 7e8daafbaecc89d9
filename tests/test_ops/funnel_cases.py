"""Layers, inputs and the comparison with the eager reference that the tests of the implementations share."""

import copy

import torch
from torch.testing import assert_close

from mm_frelu import FReLU, LightFReLU

LAYERS = {
    'FReLU': (FReLU, {}),
    'FReLU 5x5 dilated': (FReLU, dict(kernel_size=5, dilation=2)),
    'LightFReLU sum': (LightFReLU, dict(bias=True)),
    'LightFReLU max': (LightFReLU, dict(combine='max')),
}
NORMS = {
    'BN': dict(type='BN'),
    'BN without scale': dict(type='BN', affine=False),
    'BN, mean over all batches': dict(type='BN', momentum=None),
    'BN without running statistics': dict(type='BN', track_running_stats=False),
    'SyncBN, one process': dict(type='SyncBN'),
    'no norm': None,
}


def build(layer, norm, channels, training, dtype=torch.float64, implementation='recompute'):
    """A layer with random parameters and statistics."""
    layer_class, options = LAYERS[layer]
    layer = layer_class(channels, norm_cfg=NORMS[norm], implementation=implementation, **options)
    for parameter in layer.parameters():
        parameter.data.normal_()
    for name, buffer in layer.named_buffers():
        if name.endswith(('running_mean', 'running_var')):
            buffer.uniform_(0.5, 1.5)
    return layer.to(dtype).train(training)


def as_eager(layer):
    """The same layer, computed by the reference."""
    reference = copy.deepcopy(layer)
    reference.implementation = 'eager'
    return reference


def results(layer, x, weights):
    """Output, all gradients and all buffers of one training step."""
    x = x.detach().clone().requires_grad_()
    out = layer(x)
    (out * weights).sum().backward()
    named = {'output': out.detach(), 'gradient of x': x.grad}
    named.update((f'gradient of {name}', p.grad) for name, p in layer.named_parameters())
    named.update(layer.named_buffers())
    return named


def assert_equal_to_eager(layer, x, **tolerance):
    """Output, gradients, running statistics and memory format are those of the reference."""
    reference = as_eager(layer)
    # As far from constant as the input is: the gradient of a constant vanishes behind a norm.
    weights = torch.randn_like(x)
    found, expected = results(layer, x, weights), results(reference, x, weights)
    is_single = x.numel() <= x.shape[1]  # one value per channel
    assert layer.live.name == ('eager' if is_single else layer.implementation)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].stride() == value.stride(), name
        assert_close(found[name], value, msg=lambda m, name=name: f'{name}: {m}', **tolerance)
