"""The piecewise linear map of DY-ReLU, without a copy of the feature map per piece (DY-ReLU paper).

Autograd would keep every ``a_k * x + b_k`` for the backward of the maximum, and the maximum for that of the attention. Here
it keeps the input, the coefficients and the attention, and backward computes the pieces again. On a CPU both directions work
through blocks of channels (:mod:`.blocks`), so that each value goes through memory once: forward reads x and writes y,
backward reads x and the gradient and writes the gradient of x.
"""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ..eager import eager_piecewise_max
from ..implementation import is_several
from ..memory_order import laid_out_as
from .blocks import Results, channel_blocks, in_blocks
from .by_autograd import gradients_by_autograd
from .norms import accurate

Piece = Tuple[Tensor, ...]
"""Slope and, if there is one, intercept."""


def recompute_piecewise_max(
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor] = None,
    attention: Optional[Tensor] = None,
) -> Tensor:
    r""":math:`y = \pi \max_k (a^k x + b^k)`; arguments as of :func:`mm_frelu.ops.piecewise_max`."""
    if x.numel() == 0:
        return eager_piecewise_max(x, slopes, intercepts, attention)
    return _PiecewiseMax.apply(x, slopes, intercepts, attention)


class _PiecewiseMax(torch.autograd.Function):
    """The running maximum over the pieces, times the attention. Its backward is differentiable in turn."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        slopes: Tensor,
        intercepts: Optional[Tensor],
        attention: Optional[Tensor],
    ) -> Tensor:
        ctx.save_for_backward(x, slopes, intercepts, attention)

        def compute(channels: slice) -> Results:
            out = _maximum(x[:, channels], _pieces(slopes, intercepts, channels))
            return [out if attention is None else out.mul_(attention)], []

        (out,), _ = in_blocks(channel_blocks(x, whole=False), x, compute)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        row = x, slopes, intercepts, attention = ctx.saved_tensors
        if is_several(grad):
            wanted = ctx.needs_input_grad
            again = gradients_by_autograd(lambda row: eager_piecewise_max(*row), row, wanted, grad)
            return tuple(again)
        grad = laid_out_as(x, grad)
        of_attention = []  # one sum over the channels of each block

        def compute(channels: slice) -> Results:
            pieces = _pieces(slopes, intercepts, channels)
            dx, totals, part = _gradients(x[:, channels], grad[:, channels], pieces, attention)
            of_attention.append(part)
            return [dx], [totals]

        # Differentiable in turn only as a whole: blocks are written into a tensor that has no graph.
        blocks = channel_blocks(x, whole=torch.is_grad_enabled())
        (dx,), (totals,) = in_blocks(blocks, x, compute)
        totals = totals.permute(2, 1, 0)[..., None, None]  # to (numbers, N, C, 1, 1)
        if slopes.shape[2] == 1:
            totals = totals.sum(dim=2, keepdim=True)
        totals = totals.to(slopes.dtype)
        return (
            dx,
            totals[: len(slopes)],
            None if intercepts is None else totals[len(slopes) :],
            None if attention is None else sum(of_attention).to(attention.dtype),
        )


def _pieces(slopes: Tensor, intercepts: Optional[Tensor], channels: slice) -> List[Piece]:
    kinds = [slopes] if intercepts is None else [slopes, intercepts]
    if slopes.shape[2] > 1:
        kinds = [kind[:, :, channels] for kind in kinds]
    return list(zip(*(kind.unbind() for kind in kinds)))


def _line(x: Tensor, slope: Tensor, intercept: Optional[Tensor] = None) -> Tensor:
    if intercept is None:
        return x * slope
    if x.device.type == 'cpu':
        # There addcmul takes several times as long to add one number per channel.
        return (x * slope).add_(intercept)
    return torch.addcmul(intercept, x, slope)


def _maximum(x: Tensor, pieces: Sequence[Piece]) -> Tensor:
    first, *others = pieces
    best = _line(x, *first)
    for piece in others:
        best = torch.maximum(best, _line(x, *piece), out=best)
    return best


def _gradients(
    x: Tensor, grad: Tensor, pieces: Sequence[Piece], attention: Optional[Tensor]
) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
    """Gradients for some channels.

    Returns:
        The gradient of x; those of the slopes and then of the intercepts, of shape (channels, N, numbers); and what these
        channels add to the gradient of the attention.
    """
    best, wins = _compare(x, pieces, to_the_end=attention is not None)
    exact = accurate(x.dtype)
    of_attention = None
    if attention is not None:
        of_attention = (grad * best).sum(dim=1, keepdim=True, dtype=exact)
        grad = grad * attention
    shares = _share_out(grad, wins)
    dx, totals = None, []
    for share, (slope, *_) in zip(shares, pieces):
        dx = share * slope if dx is None else torch.addcmul(dx, share, slope)
        totals.append((share * x).sum(dim=(2, 3), dtype=exact))
    if len(pieces[0]) > 1:
        totals += [share.sum(dim=(2, 3), dtype=exact) for share in shares]
    return dx, torch.stack(totals, dim=-1).transpose(0, 1), of_attention


def _compare(x: Tensor, pieces: Sequence[Piece], to_the_end: bool) -> Tuple[Tensor, List[Tensor]]:
    """Find the highest piece.

    Args:
        x: Features.
        pieces: The pieces.
        to_the_end: Whether the highest value is wanted; otherwise the last piece does not enter it.

    Returns:
        The highest value; and for each piece but the first, where it is at least as high as all before it: ones and zeros of
        the type of x, as on a CPU to multiply is many times faster than to choose by a bool.
    """
    first, *others = pieces
    best, wins = _line(x, *first), []
    for piece in others:
        line = _line(x, *piece)
        wins.append(torch.ge(line.detach(), best.detach(), out=torch.empty_like(best)))
        if to_the_end or len(wins) < len(others):
            best = _higher(line, best, wins[-1])
    return best, wins


def _higher(line: Tensor, best: Tensor, wins: Tensor) -> Tensor:
    if (
        torch.is_grad_enabled()
    ):  # where both are equal torch.maximum would share a second derivative
        return torch.where(wins.bool(), line, best)
    return torch.maximum(line, best)


def _share_out(grad: Tensor, wins: Sequence[Tensor]) -> List[Tensor]:
    """What each piece gets of the gradient: the last that wins gets all."""
    shares = []
    for won in reversed(wins):
        shares.append(grad * won)
        grad = grad - shares[-1]
    return [grad, *reversed(shares)]
