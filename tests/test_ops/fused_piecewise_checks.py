"""The fused piecewise linear map of DY-ReLU against its definition in double precision; run by test_fused.py."""

import pytest
import torch
from fused_cases import DEVICE, TOLERANCE, compare
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_frelu.ops.fused import fused_piecewise_max, why_not_piecewise

FLOAT, HALF, BRAIN = torch.float32, torch.float16, torch.bfloat16
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
    (shape, pieces, own, intercepts, attention, last, dtype)
    for shape in [(4, 256, 64, 128), (2, 96, 25, 167), (16, 960, 7, 7)]
    for pieces in (1, 2, 4)
    for own in (True, False)
    for intercepts in (True, False)
    for attention in (True, False)
    for last in (False, True)
    for dtype in (FLOAT, HALF, BRAIN)
]


def reference(x, slopes, intercepts, attention):
    """The last of the highest pieces; half-precision slopes are often equal."""
    pieces = x * slopes if intercepts is None else x * slopes + intercepts
    number = torch.arange(len(pieces), device=x.device).reshape(-1, 1, 1, 1, 1)
    last = torch.where(pieces == pieces.amax(dim=0), number, -1).amax(dim=0, keepdim=True)
    return pieces.gather(0, last)[0] * (1 if attention is None else attention)


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
    generator = torch.Generator().manual_seed(0)
    n, c, h, w = shape
    coefficients = (pieces, n, c if own else 1, 1, 1)

    def random(*size):
        return torch.randn(size, generator=generator).to(DEVICE, dtype)

    x, grad = random(*shape), random(*shape)
    if last:
        x = x.to(memory_format=torch.channels_last)
    of_intercepts = random(*coefficients) if intercepts else None
    of_attention = random(n, 1, h, w).sigmoid() if attention else None
    return x, random(*coefficients), of_intercepts, of_attention, grad


def check(*case):
    *inputs, grad = tensors(*case)
    x, slopes = inputs[:2]
    assert why_not_piecewise(x, len(slopes)) is None
    found = results(fused_piecewise_max, *inputs, grad)
    double = [t if t is None else t.double() for t in (*inputs, grad)]
    assert found['y'].stride() == found['0'].stride() == x.stride()
    assert {value.dtype for value in found.values()} == {x.dtype}
    compare(found, results(reference, *double), TOLERANCE[x.dtype])


@pytest.mark.parametrize('case', QUICK, ids=str)
def test_values_and_gradients(case):
    check(*case)


@pytest.mark.gpu
@pytest.mark.parametrize('case', REAL, ids=str)
def test_values_and_gradients_of_real_sizes(case):
    check(*case)


def shapes(*highest):
    return dict(
        shape=st.tuples(*(st.integers(1, high) for high in highest)),
        pieces=st.integers(1, 8),
        options=st.tuples(*[st.booleans()] * 4),
        dtype=st.sampled_from([FLOAT, HALF, BRAIN]),
    )


@settings(max_examples=12, deadline=None)
@given(**shapes(2, 40, 9, 9))
def test_any_shape(shape, pieces, options, dtype):
    check(shape, pieces, *options, dtype)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(**shapes(2, 140, 12, 20))
def test_any_larger_shape(shape, pieces, options, dtype):
    check(shape, pieces, *options, dtype)


def test_two_runs_agree_to_the_last_bit():
    inputs = tensors((2, 33, 4, 5), 2, True, True, True, False, FLOAT)
    first, second = (results(fused_piecewise_max, *inputs) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ties_go_to_the_last_piece():
    """Slopes (1, 0) without intercepts are ReLU, gradient zero at zero included."""
    x = torch.tensor([-2.0, 0.0, 0.0, 3.0], device=DEVICE).reshape(1, 1, 2, 2).requires_grad_()
    slopes = torch.tensor([1.0, 0.0], device=DEVICE).reshape(2, 1, 1, 1, 1).requires_grad_()
    y = fused_piecewise_max(x, slopes)
    y.sum().backward()
    assert torch.equal(y, x.clamp(min=0))
    assert x.grad.flatten().tolist() == [0, 0, 0, 1]
    assert slopes.grad.flatten().tolist() == [3, -2]


@pytest.mark.parametrize('attention', [False, True])
def test_compiles_and_is_sound(attention):
    from mm_frelu.ops.fused import piecewise_ops

    *inputs, grad = tensors((1, 2, 3, 4), 2, True, True, attention, False, FLOAT)
    compiled = torch.compile(fused_piecewise_max, fullgraph=True, backend='aot_eager')
    compare(results(compiled, *inputs, grad), results(fused_piecewise_max, *inputs, grad), 0)
    torch.library.opcheck(
        piecewise_ops.piecewise_max,
        tuple(None if tensor is None else tensor.requires_grad_() for tensor in inputs),
        test_utils=('test_schema', 'test_autograd_registration', 'test_faketensor'),
    )


def test_reasons():
    x, slopes, intercepts, attention, _ = tensors((1, 2, 3, 4), 2, True, True, True, False, FLOAT)
    assert why_not_piecewise(x, 2) is None
    assert '10 pieces' in why_not_piecewise(x, 10)
    assert 'float64' in why_not_piecewise(x.double(), 2)
    for wrong, name in [
        ((slopes[:, :, :, 0], None, None), 'slopes'),
        ((slopes, intercepts[:1], None), 'intercepts'),
        ((slopes, intercepts.half(), None), 'intercepts'),
        ((slopes, None, attention[:, :, 1:]), 'attention'),
    ]:
        with pytest.raises(ValueError, match=f'The {name} are expected as .*; found'):
            fused_piecewise_max(x, *wrong)
