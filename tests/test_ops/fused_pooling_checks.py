"""The fused pooling and projection of DY-ReLU-C, and the layer as a whole, in double precision; run by test_fused.py."""

import copy

import pytest
import torch
from fused_cases import DEVICE, TOLERANCE, compare
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mm_frelu import DyReLUA, DyReLUB, DyReLUC
from mm_frelu.analysis.memory_passes import passes
from mm_frelu.ops.fused import fused_pool_and_project, why_not_projection

CASES = [
    ((2, 70, 4, 5), False, torch.float32),
    ((1, 3, 20, 21), False, torch.bfloat16),
    ((2, 260, 5, 3), True, torch.float32),
    ((2, 3, 17, 5), True, torch.float16),
    ((1, 1, 1, 1), False, torch.float32),
]


def features(shape, last, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator).to(DEVICE, dtype)
    return x.to(memory_format=torch.channels_last) if last else x


def results(function, x, weight):
    """All values and gradients of a sum in which each result has a factor of its own."""
    x, weight = (tensor.detach().clone().requires_grad_() for tensor in (x, weight))
    again, means, projection = function(x, weight)
    loss = (again * again.detach().cos()).sum() + (means * means.detach().cos()).sum()
    (loss + (projection * projection.detach().cos()).sum()).backward()
    found = dict(x=again, means=means, projection=projection, dx=x.grad, dw=weight.grad)
    return {name: value.detach() for name, value in found.items()}


def definition(x, weight):
    return x, x.mean(dim=(2, 3)), torch.nn.functional.conv2d(x, weight)


def check(shape, last, dtype):
    x = features(shape, last, dtype)
    weight = features((1, shape[1], 1, 1), False, torch.float32, seed=1)
    found = results(fused_pool_and_project, x, weight)
    assert found['dx'].stride() == x.stride()
    assert found['means'].dtype == found['dx'].dtype == dtype
    assert found['projection'].dtype == found['dw'].dtype == torch.float32
    compare(found, results(definition, x.double(), weight.double()), TOLERANCE[dtype])


@pytest.mark.parametrize('case', CASES, ids=str)
def test_values_and_gradients(case):
    check(*case)


@pytest.mark.gpu
@pytest.mark.parametrize('shape', [(4, 256, 64, 128), (2, 96, 25, 167), (16, 960, 7, 7)])
@pytest.mark.parametrize('last', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_values_and_gradients_of_real_sizes(shape, last, dtype):
    check(shape, last, dtype)


@settings(max_examples=10, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, high) for high in (2, 40, 9, 9))),
    last=st.booleans(),
)
def test_any_shape(shape, last):
    check(shape, last, torch.float32)


def of_layer(layer, implementation, x, compile_it=False):
    """Value and gradients of a layer."""
    layer = copy.deepcopy(layer)
    layer.implementation = implementation
    x = x.detach().clone().requires_grad_()
    run = torch.compile(layer, fullgraph=True, backend='aot_eager') if compile_it else layer
    y = run(x)
    (y * y.detach().cos()).sum().backward()
    found = {'y': y.detach(), 'dx': x.grad}
    found.update((name, parameter.grad) for name, parameter in layer.named_parameters())
    return found


def random_layer(layer_class, channels, **options):
    generator = torch.Generator().manual_seed(1)
    layer = layer_class(channels, **options)
    for parameter in layer.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return layer.to(DEVICE)


@pytest.mark.parametrize('last', [False, True])
@pytest.mark.parametrize(
    ('layer_class', 'options'), [(DyReLUB, {}), (DyReLUC, dict(temperature=2.0))]
)
def test_layer_is_the_eager_one(layer_class, options, last):
    layer = random_layer(layer_class, 40, **options)
    x = features((2, 40, 7, 6), last, torch.float32)
    found = of_layer(layer, 'triton', x)
    compare(found, of_layer(layer.double(), 'eager', x.double()), 1e-4)


@pytest.mark.parametrize(('layer_class', 'backward'), [(DyReLUA, 5), (DyReLUB, 5), (DyReLUC, 6)])
def test_passes_over_memory(layer_class, backward):
    """What docs/performance.md counts; the rest is weights and maps of one channel."""
    device = 'meta' if DEVICE == 'cpu' else DEVICE
    layer = layer_class(128, implementation='triton').to(device)
    x = torch.empty(1, 128, 64, 64, device=device, requires_grad=True)
    outs = []
    assert 3 <= passes(lambda: outs.append(layer(x)), x) < 3.2
    grad, inputs = torch.empty_like(x), [x, *layer.parameters()]
    assert (
        backward <= passes(lambda: torch.autograd.grad(outs[0], inputs, grad), x) < backward + 0.4
    )


def test_layer_compiles_in_one_graph():
    layer = random_layer(DyReLUC, 5)
    x = features((2, 5, 4, 3), False, torch.float32)
    plain, compiled = (of_layer(layer, 'triton', x, flag) for flag in (False, True))
    compare(compiled, plain, 1e-6)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_layer_under_autocast(dtype):
    layer = random_layer(DyReLUC, 8)
    x = features((2, 8, 5, 4), False, dtype)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        found = of_layer(layer, 'triton', x)
    assert found['y'].dtype == found['dx'].dtype == dtype
    assert found['spatial.weight'].dtype == torch.float32
    compare({'y': found['y']}, {'y': of_layer(layer, 'eager', x.float())['y']}, 0.03)


def test_hooks_on_the_projection_run():
    """It is then computed on its own; the map is still the fused one."""
    layer = random_layer(DyReLUC, 4)
    x = features((2, 4, 5, 4), False, torch.float32)
    expected = of_layer(layer, 'eager', x)
    seen = []
    layer.spatial.register_forward_hook(lambda *_: seen.append(1))
    layer.implementation = 'triton'
    compare({'y': layer(x).detach()}, {'y': expected['y']}, 1e-5)
    assert seen
    assert layer.live.name == 'triton'


def test_a_second_derivative_is_refused():
    layer = random_layer(DyReLUC, 4, implementation='triton')
    x = features((1, 4, 3, 3), False, torch.float32).requires_grad_()
    with pytest.raises(RuntimeError, match='no autograd'):
        torch.autograd.grad(layer(x).sum(), x, create_graph=True)[0].sum().backward()


def test_reasons():
    x = features((1, 4, 3, 3), False, torch.float32)

    def conv(*args, **kwargs):
        return nn.Conv2d(*args, **kwargs).to(DEVICE)

    assert why_not_projection(x, conv(4, 1, 1, bias=False)) is None
    assert 'without bias' in why_not_projection(x, conv(4, 1, 1))
    assert 'to one channel' in why_not_projection(x, conv(4, 2, 1, bias=False))
    assert 'plain Conv2d' in why_not_projection(x, nn.Identity())
    assert 'no autocast' in why_not_projection(x, conv(4, 1, 1, bias=False).half())
    assert 'empty' in why_not_projection(x[:0], conv(4, 1, 1, bias=False))
