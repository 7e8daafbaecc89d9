r"""The activations computed by definition, op by op. All backends are tested against this reference.

Gradients of ties are part of the definition. If ``x == T(x)``, each side gets half of the gradient, as in ``torch.maximum``. If
several linear pieces are equal, the last of them gets the whole gradient.
"""

from functools import reduce
from typing import Callable, Dict, Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

Branch = Tuple[Tensor, Optional[nn.Module]]
"""Features of shape (N, C, H, W) and the norm that follows them; None for no norm."""

WindowModules = Tuple[nn.Module, nn.Module]
"""A depthwise convolution and the norm that follows it (``nn.Identity`` if there is none)."""

COMBINE: Dict[str, Callable[[Tensor, Tensor], Tensor]] = {'sum': torch.add, 'max': torch.maximum}


def sum_of_norms(branches: Sequence[Branch]) -> Tensor:
    """Compute the input of an activation in a residual network: a normed convolution plus a shortcut with or without norm.

    Args:
        branches: Features of one shape (N, C, H, W), each with its norm. The output of the first norm is overwritten,
            because norms do not need their output in backward; the features are not.

    Returns:
        The sum, of shape (N, C, H, W).
    """
    (u, first), *others = branches
    x = u if first is None else first(u)
    for u, norm in others:
        value = u if norm is None else norm(u)
        if x is branches[0][0]:
            x = x + value
        else:
            x += value
    return x


def funnel_condition(x: Tensor, windows: Sequence[WindowModules], combine: str = 'sum') -> Tensor:
    r"""Compute the condition :math:`T(x)` of a funnel activation (FReLU paper, section 3).

    Args:
        x: Input of shape (N, C, H, W).
        windows: One or more windows. Each must preserve the shape of ``x``.
        combine: How several windows are combined, ``'sum'`` or ``'max'`` (ablation table on the window size).

    Returns:
        The condition, of the shape of ``x``.
    """
    return reduce(COMBINE[combine], (norm(conv(x)) for conv, norm in windows))


def funnel(x: Tensor, windows: Sequence[WindowModules], combine: str = 'sum') -> Tensor:
    r"""Compute :math:`y = \max(x, T(x))`. For the arguments, see :func:`funnel_condition`."""
    return torch.maximum(x, funnel_condition(x, windows, combine))


def piecewise_max(
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor] = None,
    attention: Optional[Tensor] = None,
) -> Tensor:
    r"""Compute :math:`y = \pi \max_k (a^k x + b^k)` (DY-ReLU paper, equation 2 and figure 2).

    If several pieces are equal, the last of them gets the whole gradient. Therefore ``a = (1, 0)``, ``b = (0, 0)`` has the same
    gradient as ReLU, which is zero at zero. Pieces that are initially equal can become different, which would not be possible if
    they shared the gradient.

    Args:
        x: Features of shape (N, C, H, W).
        slopes: :math:`a`, of shape (K, N, C, 1, 1), or (K, N, 1, 1, 1) if the channels share them, and of the type of
            ``x``.
        intercepts: :math:`b`, of the shape of ``slopes``. None means zero.
        attention: :math:`\pi`, of shape (N, 1, H, W) and of the type of ``x``. None means one.

    Returns:
        Features of the shape of ``x``.
    """
    best = reduce(_last_of_highest, pieces(x, slopes, intercepts))
    return best if attention is None else best * attention


def _last_of_highest(best: Tensor, piece: Tensor) -> Tensor:
    """Return the maximum, but ``piece`` for equal values. NaN propagates, as in ``torch.maximum`` (0 * infinity is NaN)."""
    return torch.where((piece >= best) | piece.isnan(), piece, best)


def pieces(x: Tensor, slopes: Tensor, intercepts: Optional[Tensor]) -> Iterator[Tensor]:
    """Yield each linear piece of the map."""
    for k, slope in enumerate(slopes.unbind()):
        # x comes first, because its memory format determines that of the result.
        yield x * slope if intercepts is None else x * slope + intercepts[k]


def pool(x: Tensor) -> Tensor:
    """Compute the channel means of features (N, C, H, W), of shape (N, C)."""
    return x.mean(dim=(2, 3))


def project(x: Tensor, weight: Tensor) -> Tensor:
    """Compute a 1x1 convolution of features (N, C, H, W) to one channel; ``weight`` has the shape (1, C, 1, 1)."""
    return torch.nn.functional.conv2d(x, weight)
