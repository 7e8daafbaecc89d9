"""The fused piecewise linear map of DY-ReLU against its definition in double precision; run by test_fused.py."""

import pytest
import torch
from fused_cases import DEVICE, TOLERANCE, compare

from mm_frelu.ops.fused import fused_piecewise_max, why_not_piecewise

QUICK = [
    # shape, pieces, one set of coefficients per channel, intercepts, channels_last, dtype
    ((2, 3, 5, 7), 2, True, True, False, torch.float32),
    ((2, 35, 3, 3), 3, True, True, True, torch.float32),
    ((3, 2, 4, 4), 2, False, True, False, torch.bfloat16),
    ((2, 3, 4, 4), 2, False, False, True, torch.float16),
    ((1, 1, 1, 1), 1, True, False, False, torch.float32),
    ((1, 2, 40, 41), 2, True, True, False, torch.float32),
]
REAL = [
    (shape, pieces, own, intercepts, last, dtype)
    for shape in [(4, 256, 64, 128), (2, 96, 25, 167), (16, 960, 7, 7)]
    for pieces in (1, 2, 4)
    for own in (True, False)
    for intercepts in (True, False)
    for last in (False, True)
    for dtype in (torch.float32, torch.float16, torch.bfloat16)
]


def reference(x, slopes, intercepts):
    pieces = x * slopes if intercepts is None else x * slopes + intercepts
    return pieces.amax(dim=0)


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


def tensors(shape, pieces, own, intercepts, last, dtype):
    generator = torch.Generator().manual_seed(0)
    coefficients = (pieces, shape[0], shape[1] if own else 1, 1, 1)

    def random(size):
        return torch.randn(size, generator=generator).to(DEVICE, dtype)

    x, grad = random(shape), random(shape)
    if last:
        x = x.to(memory_format=torch.channels_last)
    return x, random(coefficients), random(coefficients) if intercepts else None, grad


def check(*case):
    x, slopes, intercepts, grad = tensors(*case)
    assert why_not_piecewise(x, slopes, intercepts) is None
    found = results(fused_piecewise_max, x, slopes, intercepts, grad)
    double = [t if t is None else t.double() for t in (x, slopes, intercepts, grad)]
    assert found['y'].stride() == found['0'].stride() == x.stride()
    assert found['y'].dtype == found['1'].dtype == x.dtype
    compare(found, results(reference, *double), TOLERANCE[x.dtype])


@pytest.mark.parametrize('case', QUICK, ids=str)
def test_values_and_gradients(case):
    check(*case)


@pytest.mark.gpu
@pytest.mark.parametrize('case', REAL, ids=str)
def test_values_and_gradients_of_real_sizes(case):
    check(*case)


def test_ties_go_to_the_last_piece():
    """Slopes (1, 0) without intercepts are ReLU, gradient zero at zero included."""
    x = torch.tensor([-2.0, 0.0, 0.0, 3.0], device=DEVICE).reshape(1, 1, 2, 2).requires_grad_()
    slopes = torch.tensor([1.0, 0.0], device=DEVICE).reshape(2, 1, 1, 1, 1).requires_grad_()
    y = fused_piecewise_max(x, slopes)
    y.sum().backward()
    assert torch.equal(y, x.clamp(min=0))
    assert x.grad.flatten().tolist() == [0, 0, 0, 1]
    assert slopes.grad.flatten().tolist() == [3, -2]


def test_compiles_and_is_sound():
    from mm_frelu.ops.fused import piecewise_ops

    *inputs, grad = tensors((1, 2, 3, 4), 2, True, True, False, torch.float32)
    compiled = torch.compile(fused_piecewise_max, fullgraph=True, backend='aot_eager')
    compare(results(compiled, *inputs, grad), results(fused_piecewise_max, *inputs, grad), 0)
    torch.library.opcheck(
        piecewise_ops.piecewise_max,
        tuple(tensor.requires_grad_() for tensor in inputs),
        test_utils=('test_schema', 'test_autograd_registration', 'test_faketensor'),
    )


def test_reasons():
    x, slopes, intercepts, _ = tensors((1, 2, 3, 4), 2, True, True, False, torch.float32)
    assert why_not_piecewise(x, slopes, intercepts) is None
    assert 'shape' in why_not_piecewise(x, slopes[:, :, :, 0], None)
    assert 'differ' in why_not_piecewise(x, slopes, intercepts[:1])
    assert 'float16' in why_not_piecewise(x.half(), slopes, intercepts)
    assert 'pieces' in why_not_piecewise(x, slopes.repeat(5, 1, 1, 1, 1), None)
