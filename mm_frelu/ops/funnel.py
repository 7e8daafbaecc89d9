"""Funnel activation, computed op by op (FReLU paper, section 3).

This is the reference. A faster form has to give the same values and gradients, ties included: where ``x == T(x)``,
``torch.maximum`` gives half of the gradient to each side.
"""

from functools import reduce
from typing import Sequence, Tuple

import torch
from torch import Tensor, nn

Window = Tuple[nn.Module, nn.Module]
"""A depthwise convolution and the norm that follows it (``nn.Identity`` where there is none)."""

COMBINE = {'sum': torch.add, 'max': torch.maximum}


def funnel_condition(x: Tensor, windows: Sequence[Window], combine: str = 'sum') -> Tensor:
    r"""The condition :math:`T(x)` that a funnel activation compares its input with.

    Args:
        x: Input of shape (N, C, H, W).
        windows: One or more windows. Each must keep the shape of ``x``.
        combine: How several windows become one condition, ``'sum'`` or ``'max'`` (ablation table on the window size).

    Returns:
        The condition, of the shape of ``x``.
    """
    return reduce(COMBINE[combine], (norm(conv(x)) for conv, norm in windows))


def funnel(x: Tensor, windows: Sequence[Window], combine: str = 'sum') -> Tensor:
    r""":math:`y = \max(x, T(x))`.

    Args:
        x: Input of shape (N, C, H, W).
        windows: See :func:`funnel_condition`.
        combine: See :func:`funnel_condition`.

    Returns:
        The activated features, of the shape of ``x``.
    """
    return torch.maximum(x, funnel_condition(x, windows, combine))
