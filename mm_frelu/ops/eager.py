"""Activations computed op by op: the reference that every other implementation is held to.

Ties count: where ``x == T(x)``, ``torch.maximum`` gives half of the gradient to each side; where several linear pieces
are equal, the last of them gets the whole gradient.
"""

from functools import reduce
from typing import Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

Window = Tuple[nn.Module, nn.Module]
"""A depthwise convolution and the norm that follows it (``nn.Identity`` where there is none)."""

COMBINE = {'sum': torch.add, 'max': torch.maximum}


def funnel_condition(x: Tensor, windows: Sequence[Window], combine: str = 'sum') -> Tensor:
    r"""The condition :math:`T(x)` that a funnel activation compares its input with (FReLU paper, section 3).

    Args:
        x: Input of shape (N, C, H, W).
        windows: One or more windows. Each must keep the shape of ``x``.
        combine: How several windows become one condition, ``'sum'`` or ``'max'`` (ablation table on the window size).

    Returns:
        The condition, of the shape of ``x``.
    """
    return reduce(COMBINE[combine], (norm(conv(x)) for conv, norm in windows))


def eager_funnel(x: Tensor, windows: Sequence[Window], combine: str = 'sum') -> Tensor:
    r""":math:`y = \max(x, T(x))`; arguments as of :func:`funnel_condition`."""
    return torch.maximum(x, funnel_condition(x, windows, combine))


def eager_piecewise_max(
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor] = None,
    attention: Optional[Tensor] = None,
) -> Tensor:
    r""":math:`y = \pi \max_k (a^k x + b^k)`; arguments as of :func:`mm_frelu.ops.piecewise_max`."""
    first, *others = pieces(x, slopes, intercepts)
    best = reduce(lambda best, piece: torch.where(piece >= best, piece, best), others, first)
    return best if attention is None else best * attention


def pieces(x: Tensor, slopes: Tensor, intercepts: Optional[Tensor]) -> Iterator[Tensor]:
    """Each linear piece of the map in turn."""
    for k, slope in enumerate(slopes.unbind()):
        # x comes first: its memory format decides that of the result.
        yield x * slope if intercepts is None else x * slope + intercepts[k]
