"""The fused piecewise linear map of DY-ReLU as an operator of torch, ``mm_frelu::piecewise_max``."""

from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor

from .launch import call, dense_like
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
def piecewise_max(x: Tensor, slopes: Tensor, intercepts: Optional[Tensor]) -> Tensor:
    """``y``, see :func:`mm_frelu.ops.piecewise_max`."""
    programs, sizes, constants = _cut(x)
    y = torch.empty_like(x)
    call(
        piecewise_kernel, programs, x, y, *_contiguous(slopes, intercepts), *sizes,
        K=len(slopes), SHARED=_shared(x, slopes), **constants,
    )  # fmt: skip
    return y


def _contiguous(*tensors: Optional[Tensor]) -> List[Optional[Tensor]]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def _shared(x: Tensor, slopes: Tensor) -> bool:
    return slopes.shape[2] == 1 and x.shape[1] > 1


@piecewise_max.register_fake
def _(x, slopes, intercepts):
    return torch.empty_like(x)


@torch.library.custom_op('mm_frelu::piecewise_max_backward', mutates_args=())
def piecewise_max_backward(
    grad: Tensor, x: Tensor, slopes: Tensor, intercepts: Optional[Tensor]
) -> List[Tensor]:
    """Gradients of x, the slopes and the intercepts, if there are any."""
    programs, sizes, constants = _cut(x)
    n, c, _, chunks, _ = sizes
    k = len(slopes)
    kinds = 1 if intercepts is None else 2
    dx = torch.empty_like(x)
    partials = x.new_empty(n, c, kinds * k, chunks, dtype=torch.float32)
    shared = _shared(x, slopes)
    call(
        piecewise_gradient_kernel, programs, x, dense_like(grad, x), dx, partials,
        *_contiguous(slopes, intercepts), *sizes, K=k, SHARED=shared, **constants,
    )  # fmt: skip
    totals = partials.sum(dim=(1, 3) if shared else 3)
    # (n, c, kinds * k) or (n, kinds * k) to the shape of the coefficients, for one kind after the other.
    totals = totals.reshape(n, -1, kinds, k).permute(2, 3, 0, 1)
    return [dx, *(total.reshape(slopes.shape).to(slopes.dtype, copy=True) for total in totals)]


@piecewise_max_backward.register_fake
def _(grad, x, slopes, intercepts):
    coefficients = [slopes] if intercepts is None else [slopes, intercepts]
    return [torch.empty_like(x), *(slopes.new_empty(slopes.shape) for _ in coefficients)]


def _keep(ctx: Any, inputs: Tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
    x, slopes, intercepts = ctx.saved_tensors
    results = piecewise_max_backward(grad, x, slopes, intercepts)
    return (*results, None) if intercepts is None else tuple(results)


piecewise_max.register_autograd(_backward, setup_context=_keep)
