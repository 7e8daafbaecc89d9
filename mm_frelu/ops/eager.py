r"""The activations by definition, op by op: the reference that every backend is tested against.

Ties count. Where ``x == T(x)``, ``torch.maximum`` gives half of the gradient to each side; where several linear pieces are
equal, the last of them gets the whole gradient.
"""

from functools import reduce
from typing import Callable, Dict, Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

Branch = Tuple[Tensor, Optional[nn.Module]]
"""Features of shape (N, C, H, W) and the norm that follows them; None for no norm."""

WindowModules = Tuple[nn.Module, nn.Module]
"""A depthwise convolution and the norm that follows it (``nn.Identity`` where there is none)."""

COMBINE: Dict[str, Callable[[Tensor, Tensor], Tensor]] = {'sum': torch.add, 'max': torch.maximum}


def sum_of_norms(branches: Sequence[Branch]) -> Tensor:
    """What goes into an activation of a residual network: the norm of a convolution, plus a shortcut with or without norm.

    Args:
        branches: Features of one shape (N, C, H, W), each with its norm. The output of the first norm is overwritten, as
            no norm needs its output in backward.

    Returns:
        The sum, of shape (N, C, H, W).
    """
    (u, first), *others = branches
    x = u if first is None else first(u)
    for u, norm in others:
        value = u if norm is None else norm(u)
        if first is None:
            x = x + value
        else:
            x += value
    return x


def funnel_condition(x: Tensor, windows: Sequence[WindowModules], combine: str = 'sum') -> Tensor:
    r"""The condition :math:`T(x)` that a funnel activation compares its input with (FReLU paper, section 3).

    Args:
        x: Input of shape (N, C, H, W).
        windows: One or more windows. Each must keep the shape of ``x``.
        combine: How several windows become one condition, ``'sum'`` or ``'max'`` (ablation table on the window size).

    Returns:
        The condition, of the shape of ``x``.
    """
    return reduce(COMBINE[combine], (norm(conv(x)) for conv, norm in windows))


def funnel(x: Tensor, windows: Sequence[WindowModules], combine: str = 'sum') -> Tensor:
    r""":math:`y = \max(x, T(x))`; arguments as of :func:`funnel_condition`."""
    return torch.maximum(x, funnel_condition(x, windows, combine))


def piecewise_max(
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor] = None,
    attention: Optional[Tensor] = None,
) -> Tensor:
    r""":math:`y = \pi \max_k (a^k x + b^k)` (DY-ReLU paper, equation 2 and figure 2).

    Where several pieces are equal the last of them gets the whole gradient. So ``a = (1, 0)``, ``b = (0, 0)`` is ReLU in
    its gradient too, which is zero at zero; and pieces that start equal do not stay equal for ever, as they would if they
    shared the gradient.

    Args:
        x: Features of shape (N, C, H, W).
        slopes: :math:`a`, of shape (K, N, C, 1, 1), or (K, N, 1, 1, 1) where the channels share them; of the type of
            ``x``.
        intercepts: :math:`b`, of the shape of ``slopes``; none is zero.
        attention: :math:`\pi`, of shape (N, 1, H, W) and of the type of ``x``; none is one.

    Returns:
        Features of the shape of ``x``.
    """
    best = reduce(_last_of_highest, pieces(x, slopes, intercepts))
    return best if attention is None else best * attention


def _last_of_highest(best: Tensor, piece: Tensor) -> Tensor:
    """As ``torch.maximum``, which a NaN on either side gets through (a slope of zero makes one of infinity), but for equal values."""
    return torch.where((piece >= best) | piece.isnan(), piece, best)


def pieces(x: Tensor, slopes: Tensor, intercepts: Optional[Tensor]) -> Iterator[Tensor]:
    """Each linear piece of the map in turn."""
    for k, slope in enumerate(slopes.unbind()):
        # x comes first: its memory format decides that of the result.
        yield x * slope if intercepts is None else x * slope + intercepts[k]


def pool(x: Tensor) -> Tensor:
    """Means of the channels of features (N, C, H, W), of shape (N, C)."""
    return x.mean(dim=(2, 3))


def project(x: Tensor, weight: Tensor) -> Tensor:
    """A 1x1 convolution of features (N, C, H, W) to one channel; ``weight`` has the shape (1, C, 1, 1)."""
    return torch.nn.functional.conv2d(x, weight)
