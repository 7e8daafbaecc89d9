"""The piecewise map against autograd through all pieces at once; eager and recompute over shapes, types and layouts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_frelu.ops import dispatch, piecewise_max, recompute

BACKENDS = ['eager', 'recompute']


def maximum_of_a_stack(x, slopes, intercepts, attention):
    pieces = x * slopes
    best = (pieces if intercepts is None else pieces + intercepts).max(dim=0).values
    return best if attention is None else best * attention


def leaves(shape, pieces, own, intercepts, attention, dtype=torch.float64, last=False):
    """Features, slopes, intercepts, attention and the gradient of y; None for what there is not."""
    generator = torch.Generator().manual_seed(0)
    n, c, h, w = shape
    coefficients = (pieces, n, c if own else 1, 1, 1)

    def leaf(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    x, grad = leaf(*shape), leaf(*shape)
    if last:
        x = x.to(memory_format=torch.channels_last)
    found = [
        x,
        leaf(*coefficients),
        leaf(*coefficients) if intercepts else None,
        leaf(n, 1, h, w).sigmoid() if attention else None,
    ]
    return [value if value is None else value.requires_grad_() for value in found], grad


def values_and_gradients(function, inputs, grad, **options):
    out = function(*inputs, **options)
    return [out, *torch.autograd.grad(out, [value for value in inputs if value is not None], grad)]


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('pieces', [1, 2, 5])
@pytest.mark.parametrize('own', [True, False])
@pytest.mark.parametrize('intercepts', [True, False])
@pytest.mark.parametrize('attention', [True, False])
@pytest.mark.parametrize('last', [True, False])
def test_values_and_gradients(backend, pieces, own, intercepts, attention, last):
    inputs, grad = leaves((2, 6, 5, 7), pieces, own, intercepts, attention, last=last)
    found = values_and_gradients(piecewise_max, inputs, grad, implementation=backend)
    expected = values_and_gradients(maximum_of_a_stack, inputs, grad)
    torch.testing.assert_close(found, expected)
    if (
        last and backend == 'recompute'
    ):  # autograd's own gradient has the format of the incoming one
        assert all(value.is_contiguous(memory_format=torch.channels_last) for value in found[:2])


@pytest.mark.parametrize('own', [True, False])
@pytest.mark.parametrize('attention', [True, False])
@pytest.mark.parametrize('channels', [40, 64])
def test_blocks_of_channels_change_nothing(own, attention, channels, monkeypatch):
    """40 channels: two whole blocks of 16 and a rest."""
    monkeypatch.setattr(recompute, 'BLOCK_BYTES', 1)
    dispatch._selected.clear()  # plans keep their blocks
    inputs, grad = leaves((2, channels, 5, 4), 3, own, True, attention)
    assert len(recompute.channel_blocks(inputs[0])) == -(-channels // 16)
    found = values_and_gradients(piecewise_max, inputs, grad, implementation='recompute')
    torch.testing.assert_close(found, values_and_gradients(maximum_of_a_stack, inputs, grad))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, high) for high in (3, 40, 9, 9))),
    pieces=st.integers(1, 4),
    options=st.tuples(*[st.booleans()] * 3),
    last=st.booleans(),
    single=st.booleans(),
)
def test_any_shape(shape, pieces, options, last, single):
    dtype = torch.float32 if single else torch.float64
    inputs, grad = leaves(shape, pieces, *options, dtype=dtype, last=last)
    found, expected = (
        values_and_gradients(piecewise_max, inputs, grad, implementation=backend)
        for backend in ('recompute', 'eager')
    )
    torch.testing.assert_close(found, expected, **(dict(rtol=1e-4, atol=1e-4) if single else {}))


@pytest.mark.parametrize('attention', [True, False])
def test_half_precision(attention):
    """Of the type of x, and as close to the values of double precision as the eager form is."""
    inputs, grad = leaves((2, 12, 9, 8), 2, True, True, attention, dtype=torch.bfloat16)
    found, eager = (
        values_and_gradients(piecewise_max, inputs, grad, implementation=backend)
        for backend in ('recompute', 'eager')
    )
    double = [
        value if value is None else value.detach().double().requires_grad_() for value in inputs
    ]
    expected = values_and_gradients(maximum_of_a_stack, double, grad.double())
    for ours, theirs, right in zip(found, eager, expected):
        assert ours.dtype == torch.bfloat16
        distances = [(value.double() - right).norm() for value in (ours, theirs)]
        assert distances[0] <= 1.1 * distances[1] <= 0.05 * right.norm()


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('options', [(True, True, True), (False, False, True), (True, True, False)])
def test_gradcheck_once_and_twice(backend, options):
    inputs, _ = leaves((2, 3, 2, 3), 2, *options)

    def run(*inputs):
        return piecewise_max(*inputs, implementation=backend)

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize('backend', BACKENDS)
def test_the_last_of_equal_pieces_gets_the_gradient(backend):
    x = torch.zeros(1, 1, 1, 2, requires_grad=True)
    slopes = torch.tensor([3.0, 5.0, 7.0]).view(3, 1, 1, 1, 1).requires_grad_()
    intercepts = torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1, 1, 1).requires_grad_()
    piecewise_max(x, slopes, intercepts, implementation=backend).sum().backward()
    assert x.grad.flatten().tolist() == [5.0, 5.0]
    assert intercepts.grad.flatten().tolist() == [0.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ('wrong', 'name'),
    [
        (dict(slopes=torch.rand(2, 1, 2, 1)), 'slopes'),
        (dict(intercepts=torch.rand(1, 1, 2, 1, 1)), 'intercepts'),
        (dict(intercepts=torch.rand(2, 1, 2, 1, 1).half()), 'intercepts'),
        (dict(attention=torch.rand(1, 1, 2, 4)), 'attention'),
    ],
)
def test_tensors_that_do_not_fit_are_refused(wrong, name):
    """A backend trusts the shapes. Who names one is told what fits; ``auto`` leaves it to torch's rules."""
    fitting = dict(
        slopes=torch.rand(2, 1, 2, 1, 1),
        intercepts=torch.rand(2, 1, 2, 1, 1),
        attention=torch.rand(1, 1, 3, 4),
    )
    x = torch.rand(1, 2, 3, 4)
    piecewise_max(x, **fitting, implementation='recompute')
    with pytest.raises(RuntimeError, match=f"'recompute'.*{name}: expected .*; found .*'auto'"):
        piecewise_max(x, **{**fitting, **wrong}, implementation='recompute')
