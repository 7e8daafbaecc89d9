"""Pooling that passes its input through: values, gradients of all orders, layouts, types; and DY-ReLU's layers with it."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from mm_frelu import DyReLUA, DyReLUB, DyReLUC
from mm_frelu.ops import pool, pool_and_project

EAGER, RECOMPUTE = 'eager', 'recompute'
LAYERS = [DyReLUA, DyReLUB, DyReLUC]


def squeeze(implementation, x, weight):
    """A use of x and of its means that is linear in neither."""
    x, means = pool(x, implementation)
    return x.sin() * (means * weight).sigmoid()[:, :, None, None]


def features(*shape, dtype=torch.float64, last=False):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layout = torch.channels_last if last else torch.contiguous_format
    return x.to(dtype, memory_format=layout).requires_grad_()


def test_gradcheck_once_and_twice():
    inputs = features(2, 3, 2, 3), torch.rand(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *args: squeeze(RECOMPUTE, *args), inputs)
    assert torch.autograd.gradgradcheck(lambda *args: squeeze(RECOMPUTE, *args), inputs)


def attend(x, conv, implementation):
    """A use of x, its means and its projection that is linear in none of them."""
    x, means, projection = pool_and_project(x, conv, implementation)
    return x.sin() * means.sigmoid()[:, :, None, None] * projection.cos()


def test_projection():
    x, conv = features(2, 3, 2, 3), torch.nn.Conv2d(3, 1, 1, bias=False).double()
    inputs = x, conv.weight

    def run(x, weight):
        return attend(x, conv, RECOMPUTE)

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)
    found, expected = (
        torch.autograd.grad(attend(x, conv, backend).sum(), inputs)
        for backend in (RECOMPUTE, EAGER)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('used', [(0,), (1,), (2,), (0, 2), (1, 2)])
@pytest.mark.parametrize('frozen', ['x', 'weight'])
def test_some_results_of_some_inputs(used, frozen):
    found = []
    for backend in (RECOMPUTE, EAGER):
        x, conv = features(2, 3, 2, 3), torch.nn.Conv2d(3, 1, 1, bias=False).double()
        torch.nn.init.ones_(conv.weight)
        leaf, fixed = (conv.weight, x) if frozen == 'x' else (x, conv.weight)
        fixed.requires_grad_(False)
        outs = pool_and_project(x, conv, backend)
        loss = sum(outs[index].square().sum() for index in used)
        if loss.requires_grad:
            loss.backward()
        found.append(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
    torch.testing.assert_close(*found)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, high) for high in (3, 20, 9, 9))),
    last=st.booleans(),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)
def test_any_shape(shape, last, dtype):
    x = features(*shape, dtype=dtype, last=last)
    weight = torch.linspace(-1, 1, shape[1]).to(dtype)
    found, expected = (
        [out.detach(), *torch.autograd.grad(out, x, torch.ones_like(out))]
        for out in (squeeze(backend, x, weight) for backend in (RECOMPUTE, EAGER))
    )
    torch.testing.assert_close(found, expected)
    if last:
        assert found[1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('used', ['x', 'means'])
def test_one_use_alone(used):
    x = features(2, 3, 4, 5)
    again, means = pool(x, RECOMPUTE)
    (again if used == 'x' else means).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 1.0 if used == 'x' else 1 / 20))


class Written(TorchDispatchMode):
    """Counts the tensors of a given size that ops write."""

    def __init__(self, size):
        super().__init__()
        self.size, self.count = size, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and not func.is_view and out.numel() == self.size:
            self.count += 1
        return out


def test_backward_adds_the_share_of_the_means_in_one_op():
    x = features(2, 3, 8, 8)
    again, means = pool(x, RECOMPUTE)
    with Written(x.numel()) as written:
        torch.autograd.grad([again, means], x, [torch.ones_like(x), torch.ones_like(means)])
    assert written.count == 1 + 1  # the gradient that is given here, and the result


def of_layer(layer, implementation, x, run=lambda layer, x: layer(x)):
    layer = copy.deepcopy(layer)
    layer.implementation = implementation
    x = x.detach().clone().requires_grad_()
    y = run(layer, x)
    (y * y.detach().cos()).float().sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


def random_layer(layer_class, channels, **options):
    generator = torch.Generator().manual_seed(1)
    layer = layer_class(channels, **options).double()
    for parameter in layer.parameters():
        parameter.data.normal_(generator=generator)
    return layer


@settings(max_examples=30, deadline=None)
@given(
    layer_class=st.sampled_from(LAYERS),
    shape=st.tuples(*(st.integers(1, high) for high in (3, 40, 9, 9))),
    pieces=st.integers(1, 4),
    intercept=st.booleans(),
    last=st.booleans(),
)
def test_layers_are_the_eager_ones(layer_class, shape, pieces, intercept, last):
    layer = random_layer(layer_class, shape[1], num_pieces=pieces, intercept=intercept)
    x = features(*shape, last=last)
    torch.testing.assert_close(of_layer(layer, 'recompute', x), of_layer(layer, 'eager', x))


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize('reentrant', [True, False])
def test_layers_under_checkpointing(layer_class, reentrant):
    layer = random_layer(layer_class, 6)
    x = features(2, 6, 5, 4)

    def run(layer, x):
        return checkpoint(layer, x, use_reentrant=reentrant)

    torch.testing.assert_close(of_layer(layer, 'recompute', x, run), of_layer(layer, 'eager', x))


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_layers_under_autocast(layer_class, dtype):
    """Against the eager layer under autocast; both round, at most in the last places."""
    layer = random_layer(layer_class, 16).float()
    x = features(2, 16, 9, 8, dtype=dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found, expected = (of_layer(layer, backend, x) for backend in ('recompute', 'eager'))
    for ours, right in zip(found, expected):
        assert ours.dtype == right.dtype
        assert (ours.double() - right.double()).norm() <= 0.05 * right.double().norm()


@pytest.mark.whole_graph
@pytest.mark.parametrize('layer_class', LAYERS)
def test_layers_compile_without_graph_break(layer_class):
    layer = random_layer(layer_class, 6)
    x = features(2, 6, 5, 4)
    torch._dynamo.reset()

    def run(layer, x):
        return torch.compile(layer, fullgraph=True, backend='aot_eager')(x)

    torch.testing.assert_close(of_layer(layer, 'recompute', x, run), of_layer(layer, 'eager', x))


@pytest.mark.parametrize('layer_class', LAYERS)
def test_layers_under_transforms_are_eager(layer_class):
    layer = random_layer(layer_class, 4)
    x = features(2, 4, 3, 3).detach()
    gradient = torch.func.grad(lambda x: layer(x).sum())(x)
    assert layer.live.name == 'eager'
    _, tangent = torch.func.jvp(layer, (x,), (x,))
    leaf = x.clone().requires_grad_()
    layer(leaf).sum().backward()
    assert layer.live.name == 'recompute'
    torch.testing.assert_close(gradient, leaf.grad)
    ahead, behind = layer(x + 1e-6 * x), layer(x - 1e-6 * x)
    torch.testing.assert_close(tangent, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('layer_class', LAYERS)
def test_layers_under_vmap(layer_class):
    layer = random_layer(layer_class, 4)
    x = features(3, 2, 4, 3, 3).detach()
    expected = torch.stack([layer(each) for each in x])
    torch.testing.assert_close(torch.func.vmap(layer)(x), expected)


def test_symbolic_graphs_are_eager():
    class Attend(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 1, 1, bias=False)

        def forward(self, x):
            x, means, projection = pool_and_project(x, self.conv)
            return x * means[:, :, None, None] * projection

    module, x = Attend(), torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(torch.fx.symbolic_trace(module)(x), module(x))
