"""The piecewise linear map of DY-ReLU, without a copy of the feature map per piece (DY-ReLU paper).

Autograd would keep every ``a_k * x + b_k`` for the backward of the maximum. Here it keeps the input and the coefficients,
and backward computes the pieces again.
"""

from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor


def recompute_piecewise_max(
    x: Tensor, slopes: Tensor, intercepts: Optional[Tensor] = None
) -> Tensor:
    r""":math:`y = \max_k (a^k x + b^k)`; arguments as of :func:`mm_frelu.ops.piecewise_max`."""
    return _PiecewiseMax.apply(x, slopes, intercepts)


class _PiecewiseMax(torch.autograd.Function):
    """The running maximum over the pieces. Its backward is differentiable in turn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor, intercepts: Optional[Tensor]) -> Tensor:
        ctx.save_for_backward(x, slopes, intercepts)
        first, *others = _coefficients(slopes, intercepts)
        out = _piece(x, *first)
        for coefficients in others:
            out = torch.maximum(out, _piece(x, *coefficients))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
        x, slopes, intercepts = ctx.saved_tensors
        winner = _winner(x, slopes, intercepts)
        # In the memory format of x, whatever that of the gradient is.
        grad_x, grad_slopes, grad_intercepts = torch.zeros_like(x), [], []
        for k, slope in enumerate(slopes.unbind()):
            share = torch.where(winner == k, grad, 0)
            grad_x = torch.addcmul(grad_x, share, slope)
            grad_slopes.append((share * x).sum_to_size(slope.shape))
            if intercepts is not None:
                grad_intercepts.append(share.sum_to_size(slope.shape))
        return (
            grad_x,
            torch.stack(grad_slopes),
            None if intercepts is None else torch.stack(grad_intercepts),
        )


def _coefficients(slopes: Tensor, intercepts: Optional[Tensor]) -> List[Tuple[Tensor, ...]]:
    kinds = [slopes] if intercepts is None else [slopes, intercepts]
    return list(zip(*(kind.unbind() for kind in kinds)))


def _piece(x: Tensor, slope: Tensor, intercept: Optional[Tensor] = None) -> Tensor:
    # x comes first: its memory format decides that of the result.
    return x * slope if intercept is None else x * slope + intercept


def _winner(x: Tensor, slopes: Tensor, intercepts: Optional[Tensor]) -> Tensor:
    """Number of the last piece that attains the maximum, for each value; one byte each."""
    first, *others = _coefficients(slopes, intercepts)
    best = _piece(x, *first)
    winner = torch.zeros_like(best, dtype=torch.uint8)
    for k, coefficients in enumerate(others, start=1):
        piece = _piece(x, *coefficients)
        winner = torch.where(piece >= best, k, winner)
        best = torch.maximum(best, piece)
    return winner
