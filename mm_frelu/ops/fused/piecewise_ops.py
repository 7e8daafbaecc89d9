"""The fused piecewise linear map of DY-ReLU as an operator of torch, ``mm_frelu::piecewise_max``."""

from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor

from ..memory_order import laid_out_as
from .attention_kernels import attended_gradient_kernel, attended_kernel
from .crossing import cross
from .launch import call
from .piecewise_kernels import piecewise_gradient_kernel, piecewise_kernel
from .tiling import PROGRAMS, is_channels_last

VALUES = 1024
"""Values that a program holds at a time: 8 for each thread, 16 bytes in half precision."""
MOST_CHANNELS = 128
MOST_STEPS = 16


def _cut(x: Tensor) -> Tuple[int, Tuple[int, ...], dict]:
    """Number of programs, sizes and constants for a feature map."""
    n, c, h, w = x.shape
    positions = h * w
    channels_last = is_channels_last(x)
    if channels_last:
        b = min(_power_of_two(c), MOST_CHANNELS)
        a = VALUES // b
        blocks, along = n * -(-c // b), a
    else:
        b = min(_power_of_two(positions), VALUES)
        a = VALUES // b
        blocks, along = -(-n * c // a), b
    pieces = -(-positions // along)
    steps = min(max(blocks * pieces // PROGRAMS, 1), MOST_STEPS)
    chunks = -(-pieces // steps)
    return (
        blocks * chunks,
        (n, c, positions, chunks, steps),
        dict(A=a, B=b, CHANNELS_LAST=channels_last),
    )


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


@torch.library.custom_op('mm_frelu::piecewise_max', mutates_args=())
def piecewise_max(
    x: Tensor, slopes: Tensor, intercepts: Optional[Tensor], attention: Optional[Tensor]
) -> Tensor:
    """``y``, see :func:`mm_frelu.ops.piecewise_max`."""
    y = torch.empty_like(x)
    kinds = dict(K=len(slopes), SHARED=_shared(x, slopes))
    if attention is not None:
        cut = cross(x)
        call(
            attended_kernel, cut.programs(x), x, y, *_contiguous(slopes, intercepts, attention),
            len(x), *cut.sizes, **kinds, **cut.constants,
        )  # fmt: skip
        return y
    programs, sizes, constants = _cut(x)
    coefficients = _contiguous(slopes, intercepts)
    call(piecewise_kernel, programs, x, y, *coefficients, *sizes, **kinds, **constants)
    return y


def _contiguous(*tensors: Optional[Tensor]) -> List[Optional[Tensor]]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def _shared(x: Tensor, slopes: Tensor) -> bool:
    return slopes.shape[2] == 1 and x.shape[1] > 1


@piecewise_max.register_fake
def _(x, slopes, intercepts, attention):
    return torch.empty_like(x)


@torch.library.custom_op('mm_frelu::piecewise_max_backward', mutates_args=())
def piecewise_max_backward(
    grad: Tensor,
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor],
    attention: Optional[Tensor],
) -> List[Tensor]:
    """Gradients of x, the slopes, and the intercepts and the attention, if there are any."""
    kinds = 1 if intercepts is None else 2
    launch = _backward_plain if attention is None else _backward_attended
    dx, totals, *of_attention = launch(laid_out_as(x, grad), x, slopes, intercepts, attention)
    if _shared(x, slopes):
        totals = totals.sum(dim=1)
    # (N, C, kinds * K) or (N, kinds * K) to the shape of the coefficients, for one kind after the other.
    totals = totals.reshape(len(x), -1, kinds, len(slopes)).permute(2, 3, 0, 1)
    of_coefficients = [total.reshape(slopes.shape).to(slopes.dtype, copy=True) for total in totals]
    return [dx, *of_coefficients, *of_attention]


def _backward_plain(
    grad: Tensor, x: Tensor, slopes: Tensor, intercepts: Optional[Tensor], attention: None
) -> List[Tensor]:
    programs, sizes, constants = _cut(x)
    n, c, _, chunks, _ = sizes
    k = len(slopes)
    dx = torch.empty_like(x)
    numbers = k if intercepts is None else 2 * k
    partials = x.new_empty(n, c, numbers, chunks, dtype=torch.float32)
    call(
        piecewise_gradient_kernel, programs, x, grad, dx, partials,
        *_contiguous(slopes, intercepts), *sizes, K=k, SHARED=_shared(x, slopes), **constants,
    )  # fmt: skip
    return [dx, partials.sum(dim=3)]


def _backward_attended(
    grad: Tensor, x: Tensor, slopes: Tensor, intercepts: Optional[Tensor], attention: Tensor
) -> List[Tensor]:
    cut = cross(x)
    k = len(slopes)
    dx = torch.empty_like(x)
    of_coefficients = cut.parts(x, of_channels=True, numbers=k if intercepts is None else 2 * k)
    of_attention = cut.parts(x, of_channels=False)
    call(
        attended_gradient_kernel, cut.programs(x), x, grad, dx, of_coefficients, of_attention,
        *_contiguous(slopes, intercepts, attention), len(x), *cut.sizes,
        K=k, SHARED=_shared(x, slopes), **cut.constants,
    )  # fmt: skip
    total = of_attention.sum(dim=3).reshape(attention.shape)
    return [dx, of_coefficients.sum(dim=3), total.to(attention.dtype, copy=True)]


@piecewise_max_backward.register_fake
def _(grad, x, slopes, intercepts, attention):
    others = [slopes, *(values for values in (intercepts, attention) if values is not None)]
    return [torch.empty_like(x), *(values.new_empty(values.shape) for values in others)]


def _keep(ctx: Any, inputs: Tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
    x, slopes, intercepts, attention = ctx.saved_tensors
    dx, of_slopes, *others = piecewise_max_backward(grad, x, slopes, intercepts, attention)
    of_intercepts = None if intercepts is None else others.pop(0)
    return dx, of_slopes, of_intercepts, None if attention is None else others.pop()


piecewise_max.register_autograd(_backward, setup_context=_keep)
