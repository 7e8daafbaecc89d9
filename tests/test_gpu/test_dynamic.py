"""The fused kernels of DY-ReLU against the definition in double precision, and its layers with them."""

import copy

import pytest
import torch
from devices import DEVICE, ON_A_GPU, RUNS_KERNELS
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mm_frelu import DyReLUA, DyReLUB, DyReLUC
from mm_frelu.ops import activate_piecewise, piecewise_max, pool, pool_and_project

pytestmark = RUNS_KERNELS

FLOAT, HALF, BRAIN = torch.float32, torch.float16, torch.bfloat16
TOLERANCE = {FLOAT: 2e-5, HALF: 5e-3, BRAIN: 2e-2}
QUICK = [
    # shape, pieces, one set of coefficients per channel, intercepts, attention, channels_last, dtype
    ((2, 3, 5, 7), 2, True, True, False, False, FLOAT),
    ((2, 35, 3, 3), 3, True, True, False, True, FLOAT),
    ((3, 2, 4, 4), 2, False, True, False, False, BRAIN),
    ((2, 3, 4, 4), 2, False, False, False, True, HALF),
    ((1, 1, 1, 1), 1, True, False, False, False, FLOAT),
    ((1, 2, 40, 41), 2, True, True, False, False, FLOAT),
    # Several steps, blocks and chunks, each with a rest.
    ((2, 70, 4, 5), 2, True, True, True, False, FLOAT),
    ((1, 3, 20, 21), 2, True, True, True, False, BRAIN),
    ((2, 260, 5, 3), 3, True, True, True, True, FLOAT),
    ((2, 3, 17, 5), 2, True, False, True, True, HALF),
    ((2, 5, 3, 4), 2, False, True, True, False, FLOAT),
    ((2, 5, 3, 4), 1, False, False, True, True, FLOAT),
    ((1, 1, 1, 1), 2, True, True, True, False, FLOAT),
]
REAL = [
    (shape, pieces, own, True, attention, last, dtype)
    for shape in [(4, 256, 64, 128), (2, 96, 25, 167), (16, 960, 7, 7)]
    for pieces, own in ((2, True), (2, False), (4, True))
    for attention in (True, False)
    for last in (False, True)
    for dtype in (FLOAT, HALF, BRAIN)
]
POOLED = [
    ((2, 70, 4, 5), False, FLOAT),
    ((1, 3, 20, 21), False, BRAIN),
    ((2, 260, 5, 3), True, FLOAT),
    ((2, 3, 17, 5), True, HALF),
    ((1, 1, 1, 1), False, FLOAT),
]
REAL_POOLED = [
    (shape, last, dtype)
    for shape in [(4, 256, 64, 128), (2, 96, 25, 167), (16, 960, 7, 7)]
    for last in (False, True)
    for dtype in (FLOAT, HALF, BRAIN)
]
LAYERS = [(DyReLUA, {}), (DyReLUB, {}), (DyReLUC, dict(temperature=2.0))]


def compare(found, expected, tolerance):
    """Distance of every tensor, relative to its norm."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        right = expected[name].double()
        distance = (value.double() - right).norm() / right.norm().clamp(min=1e-6)
        assert distance <= tolerance, f'{name}: {distance:.2e} over {tolerance:.0e}'


def random(*shape, dtype=FLOAT, last=False, seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)
    return x.to(memory_format=torch.channels_last) if last else x


# --- the piecewise map -------------------------------------------------------------------------------------------------


def reference(x, slopes, intercepts, attention):
    """The last of the highest pieces; half-precision slopes are often equal."""
    pieces = x * slopes if intercepts is None else x * slopes + intercepts
    number = torch.arange(len(pieces), device=x.device).reshape(-1, 1, 1, 1, 1)
    last = torch.where(pieces == pieces.amax(dim=0), number, -1).amax(dim=0, keepdim=True)
    return pieces.gather(0, last)[0] * (1 if attention is None else attention)


def fused(*row):
    return piecewise_max(*row, implementation='triton')


def results(function, *tensors):
    """Value and all gradients; the last tensor is the gradient of the value."""
    *inputs, grad = [tensor if tensor is None else tensor.detach().clone() for tensor in tensors]
    for tensor in inputs:
        if tensor is not None:
            tensor.requires_grad_()
    y = function(*inputs)
    y.backward(grad)
    found = {'y': y.detach()}
    found.update((str(i), t.grad) for i, t in enumerate(inputs) if t is not None)
    return found


def tensors(shape, pieces, own, intercepts, attention, last, dtype):
    n, c, h, w = shape
    coefficients = (pieces, n, c if own else 1, 1, 1)
    return (
        random(*shape, dtype=dtype, last=last),
        random(*coefficients, dtype=dtype, seed=1),
        random(*coefficients, dtype=dtype, seed=2) if intercepts else None,
        random(n, 1, h, w, dtype=dtype, seed=3).sigmoid() if attention else None,
        random(*shape, dtype=dtype, seed=4),
    )


def check(*case):
    *inputs, grad = tensors(*case)
    x = inputs[0]
    found = results(fused, *inputs, grad)
    double = [t if t is None else t.double() for t in (*inputs, grad)]
    assert found['y'].stride() == found['0'].stride() == x.stride()
    assert {value.dtype for value in found.values()} == {x.dtype}
    compare(found, results(reference, *double), TOLERANCE[x.dtype])


@pytest.mark.parametrize('case', QUICK, ids=str)
def test_values_and_gradients(case):
    check(*case)


@ON_A_GPU
@pytest.mark.parametrize('case', REAL, ids=str)
def test_values_and_gradients_of_real_sizes(case):
    check(*case)


@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, high) for high in (2, 40, 9, 9))),
    pieces=st.integers(1, 8),
    options=st.tuples(*[st.booleans()] * 4),
    dtype=st.sampled_from([FLOAT, HALF, BRAIN]),
)
def test_any_shape(shape, pieces, options, dtype):
    check(shape, pieces, *options, dtype)


def test_two_runs_agree_to_the_last_bit():
    inputs = tensors((2, 33, 4, 5), 2, True, True, True, False, FLOAT)
    first, second = (results(fused, *inputs) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ties_go_to_the_last_piece():
    """Slopes (1, 0) without intercepts are ReLU, gradient zero at zero included."""
    x = torch.tensor([-2.0, 0.0, 0.0, 3.0], device=DEVICE).reshape(1, 1, 2, 2).requires_grad_()
    slopes = torch.tensor([1.0, 0.0], device=DEVICE).reshape(2, 1, 1, 1, 1).requires_grad_()
    y = fused(x, slopes)
    y.sum().backward()
    assert torch.equal(y, x.clamp(min=0))
    assert x.grad.flatten().tolist() == [0, 0, 0, 1]
    assert slopes.grad.flatten().tolist() == [3, -2]


@pytest.mark.parametrize('attention', [False, True])
@pytest.mark.parametrize('kind', ['gaps', 'offset', 'coefficients'])
def test_odd_memory(kind, attention):
    """Features with gaps in memory or from an odd address on, coefficients as views of different strides."""
    x, slopes, intercepts, pi, grad = tensors((2, 6, 4, 8), 2, True, True, attention, False, FLOAT)
    if kind == 'gaps':
        x = torch.stack([x, x], dim=-1)[..., 0]
    elif kind == 'offset':
        x = torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
    else:
        slopes = slopes.transpose(0, 1).contiguous().transpose(0, 1)
        pi = None if pi is None else pi.transpose(2, 3).contiguous().transpose(2, 3)
    row = [t if t is None else t.requires_grad_() for t in (x, slopes, intercepts, pi)]
    found = dict(y=fused(*row))
    leaves = [tensor for tensor in row if tensor is not None]
    found.update(enumerate(torch.autograd.grad(found['y'], leaves, grad)))
    dense = [t if t is None else t.detach().contiguous() for t in (*row, grad)]
    expected = results(fused, *dense)
    for value, right in zip(found.values(), expected.values()):
        assert torch.equal(value, right)


def test_second_derivatives():
    """Op by op, behind values of the kernels."""
    *inputs, _ = tensors((1, 2, 3, 4), 2, True, True, True, False, FLOAT)
    found = []
    for implementation in ('triton', 'eager'):
        row = [tensor.clone().requires_grad_() for tensor in inputs]
        y = piecewise_max(*row, implementation=implementation)
        grads = torch.autograd.grad(y.sin().sum(), row, create_graph=True)
        penalty = sum(grad.square().sum() for grad in grads)
        found.append(dict(enumerate(torch.autograd.grad(penalty, row))))
    compare(*found, 1e-5)


@pytest.mark.parametrize('attention', [False, True])
def test_compiles(attention):
    *inputs, grad = tensors((1, 2, 3, 4), 2, True, True, attention, False, FLOAT)
    compiled = torch.compile(fused, fullgraph=True, backend='aot_eager')
    # Bit for bit: the compiled graph runs the same kernels.
    compare(results(compiled, *inputs, grad), results(fused, *inputs, grad), 0)


def test_reasons():
    x, slopes, intercepts, attention, _ = tensors((1, 2, 3, 4), 2, True, True, True, False, FLOAT)
    many = random(9, 1, 2, 1, 1)
    for row, facts in [
        ((x, many), '9 pieces.*8'),
        ((x.double(), slopes.double()), 'float64.*float32'),
        ((x, slopes[:, :, :, 0]), 'slopes: expected'),
        ((x, slopes, intercepts.half()), 'intercepts: expected .*float32.*found .*float16'),
        ((x, slopes, None, attention[:, :, 1:]), 'attention: expected'),
    ]:
        with pytest.raises(RuntimeError, match=f"'triton'.*{facts}"):
            fused(*row)
    out, choice = activate_piecewise(x, many)
    assert choice.name != 'triton'
    assert torch.equal(out, piecewise_max(x, many, implementation='eager'))


# --- pooling -----------------------------------------------------------------------------------------------------------


def of_pooling(x, conv, implementation):
    """All values and gradients of a sum in which each result has a factor of its own."""
    conv, x = copy.deepcopy(conv), x.detach().clone().requires_grad_()
    again, means, projection = pool_and_project(x, conv, implementation)
    loss = sum((out * out.detach().cos()).double().sum() for out in (again, means, projection))
    loss.backward()
    found = dict(means=means, projection=projection, dx=x.grad, dw=conv.weight.grad)
    alone = x.detach().clone().requires_grad_()
    again, means = pool(alone, implementation)
    sum((out * out.detach().cos()).double().sum() for out in (again, means)).backward()
    found.update(alone=means, dx_alone=alone.grad)
    return {name: value.detach() for name, value in found.items()}


def projection_of(channels, dtype):
    conv = nn.Conv2d(channels, 1, 1, bias=False).to(DEVICE, dtype)
    conv.weight.data.copy_(random(1, channels, 1, 1, seed=1))
    return conv


def check_pooling(shape, last, dtype):
    x = random(*shape, dtype=dtype, last=last)
    conv = projection_of(shape[1], dtype)
    found = of_pooling(x, conv, 'triton')
    assert found['dx'].stride() == found['dx_alone'].stride() == x.stride()
    assert found['means'].dtype == found['dx'].dtype == found['dw'].dtype == dtype
    assert found['projection'].dtype == torch.float32
    compare(found, of_pooling(x.double(), conv.double(), 'eager'), TOLERANCE[dtype])


@pytest.mark.parametrize('case', POOLED, ids=str)
def test_pooling(case):
    check_pooling(*case)


@ON_A_GPU
@pytest.mark.parametrize('case', REAL_POOLED, ids=str)
def test_pooling_of_real_sizes(case):
    check_pooling(*case)


@settings(max_examples=8, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, high) for high in (2, 40, 9, 9))),
    last=st.booleans(),
)
def test_pooling_of_any_shape(shape, last):
    check_pooling(shape, last, FLOAT)


@pytest.mark.parametrize('used', [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize('last', [False, True])
def test_some_results_alone(used, last):
    """Gradients of those that nobody used are not there."""
    conv = projection_of(6, FLOAT)
    found = []
    for implementation in ('triton', 'eager'):
        x = random(2, 6, 3, 4, last=last).requires_grad_()
        conv.zero_grad()
        outs = pool_and_project(x, conv, implementation)
        sum(outs[index].square().sum() for index in used).backward()
        of_weight = conv.weight.grad
        found.append(dict(dx=x.grad, dw=torch.zeros(1) if of_weight is None else of_weight.clone()))
    compare(*found, 1e-5)


# --- layers ------------------------------------------------------------------------------------------------------------


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
@pytest.mark.parametrize(('layer_class', 'options'), LAYERS)
def test_layer_is_the_eager_one(layer_class, options, last):
    layer = random_layer(layer_class, 40, **options)
    x = random(2, 40, 7, 6, last=last)
    found = of_layer(layer, 'triton', x)
    compare(found, of_layer(layer.double(), 'eager', x.double()), 1e-4)


@pytest.mark.parametrize(('layer_class', 'options'), LAYERS)
def test_identity_start_is_relu(layer_class, options):
    if layer_class is DyReLUC:
        options = dict(attention_mean=1.0)
    layer = layer_class(8, init='identity', implementation='triton', **options).to(DEVICE)
    x = random(2, 8, 7, 7)
    x[:, :, 0] = 0
    assert torch.equal(layer(x), torch.relu(x))


@pytest.mark.parametrize(
    ('layer_class', 'features', 'launches'),
    [(DyReLUA, (3, 5), (3, 3)), (DyReLUB, (3, 5), (3, 3)), (DyReLUC, (3, 6), (4, 5))],
)
def test_passes_and_launches(layer_class, features, launches, monkeypatch):
    """How often kernels read or write a feature map, and how many there are, forward and backward."""
    from mm_frelu.ops.gpu.launch import Launch

    layer = random_layer(layer_class, 8, implementation='triton')
    x = random(1, 8, 6, 5).requires_grad_()
    counts, call = [], Launch.__call__

    def counting(self, *args):
        tensors = (arg for arg in args if isinstance(arg, torch.Tensor))
        counts.append(sum(tensor.shape == x.shape for tensor in tensors))
        call(self, *args)

    monkeypatch.setattr(Launch, '__call__', counting)
    y = layer(x)
    assert (sum(counts), len(counts)) == (features[0], launches[0])
    counts.clear()
    y.sum().backward()
    assert (sum(counts), len(counts)) == (features[1], launches[1])


@pytest.mark.parametrize(('layer_class', 'options'), LAYERS)
@pytest.mark.parametrize('shape', [(0, 8, 3, 4), (2, 8, 1, 1), (1, 8, 1, 5)])
def test_smallest_maps(layer_class, options, shape):
    layer = random_layer(layer_class, 8, implementation='triton', **options)
    x = torch.ones(shape, device=DEVICE, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape
    assert torch.isfinite(y).all()


def test_projection_with_hooks_is_called():
    layer = random_layer(DyReLUC, 5)
    x = random(2, 5, 4, 3)
    called = []
    layer.spatial.register_forward_hook(lambda *_: called.append(True))
    layer.implementation = 'triton'
    found = layer(x)
    assert called
    assert layer.live.name == 'triton'
    layer.implementation = 'eager'
    torch.testing.assert_close(found, layer(x), rtol=1e-5, atol=1e-5)


def test_layer_compiles_in_one_graph():
    layer = random_layer(DyReLUC, 5)
    x = random(2, 5, 4, 3)
    plain, compiled = (of_layer(layer, 'triton', x, flag) for flag in (False, True))
    compare(compiled, plain, 1e-5)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize(('layer_class', 'options'), LAYERS)
def test_what_is_no_number_is_passed_on(layer_class, options, value):
    x = random(2, 3, 4, 5)
    x[0, 1, 2, 3] = value
    fused = layer_class(3, implementation='triton', **options).to(DEVICE)
    eager = copy.deepcopy(fused)
    eager.implementation = 'eager'
    torch.testing.assert_close(fused(x), eager(x), equal_nan=True, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('dtype', [FLOAT, BRAIN])
def test_layer_under_autocast(dtype):
    layer = random_layer(DyReLUC, 8)
    x = random(2, 8, 5, 4, dtype=dtype)
    with torch.autocast(DEVICE, dtype=BRAIN):
        found = of_layer(layer, 'triton', x)
    assert found['y'].dtype == found['dx'].dtype == dtype
    assert found['spatial.weight'].dtype == FLOAT
    compare({'y': found['y']}, {'y': of_layer(layer, 'eager', x.float())['y']}, 0.03)


@ON_A_GPU
@pytest.mark.parametrize(('layer_class', 'options'), LAYERS)
def test_layer_in_a_cuda_graph(layer_class, options):
    layer = random_layer(layer_class, 16, implementation='triton', **options)
    x = random(2, 16, 8, 8)
    with torch.no_grad():
        layer(x)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = layer(x)
        x.copy_(random(2, 16, 8, 8, seed=9))
        graph.replay()
        assert torch.equal(captured, layer(x))
