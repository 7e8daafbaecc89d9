"""The funnel activation: one entry, whatever computes it."""

from types import MappingProxyType
from typing import Optional, Sequence

from torch import Tensor

from . import fused
from .cpu import why_not_numba, why_not_numba_site
from .eager import Window, eager_funnel
from .implementation import (
    AUTOMATIC,
    Choice,
    choose,
    is_exporting,
    requested,
    why_no_custom_gradient,
)
from .recompute import recompute_site, why_not_recompute, why_not_recompute_site
from .sum_of_norms import Term


def choose_funnel(
    x: Tensor, windows: Sequence[Window], combine: str = 'sum', implementation: str = 'auto'
) -> Choice:
    """Which implementation :func:`funnel` takes for these arguments, and why.

    Raises:
        ValueError: If there is no such implementation.
        RuntimeError: If the one that was asked for cannot compute this case.
    """

    def why_not_triton() -> Optional[str]:
        return why_no_custom_gradient() or fused.why_not_funnel(x, windows)

    candidates = [
        ('triton', why_not_triton),
        ('numba', lambda: why_not_numba(x, windows)),
        ('recompute', lambda: why_not_recompute(x, windows)),
    ]
    return choose(implementation, candidates)


def funnel(
    x: Tensor, windows: Sequence[Window], combine: str = 'sum', implementation: str = 'auto'
) -> Tensor:
    r""":math:`y = \max(x, T(x))` (FReLU paper, section 3).

    Args:
        x: Input of shape (N, C, H, W).
        windows: One or more windows, each a depthwise convolution and its norm. Each must keep the shape of ``x``.
        combine: How several windows become one condition, ``'sum'`` or ``'max'``.
        implementation: ``'auto'``, ``'eager'``, ``'recompute'``, ``'numba'`` or ``'triton'``, see :mod:`.implementation`.

    Returns:
        The activated features, of the shape of ``x``.

    Raises:
        ValueError: If there is no such implementation.
        RuntimeError: If the one that was asked for cannot compute this case.
    """
    return compute_funnel(choose_funnel(x, windows, combine, implementation), x, windows, combine)


def _why_not_fused_site(terms: Sequence[Term], windows: Sequence[Window]) -> Optional[str]:
    return fused.why_not_funnel(terms[0][0], windows) or why_not_recompute_site(terms, windows)


SITES = MappingProxyType(
    {
        'triton': _why_not_fused_site,
        'numba': why_not_numba_site,
        'recompute': why_not_recompute_site,
    },
)
"""What can start from before the norm, the best first, and what tells why it cannot."""


def choose_site(
    terms: Sequence[Term], windows: Sequence[Window], implementation: str = 'auto'
) -> Optional[Choice]:
    """Whether norms, their sum and a funnel activation can be computed as one, keeping only what goes into the norms.

    Args:
        terms: Features and the norm behind each, or None.
        windows: As of :func:`funnel`.
        implementation: As of :func:`funnel`.

    Returns:
        What computes the site; None if it is computed norm by norm and then by :func:`funnel`.
    """
    word, source = requested(implementation)
    if is_exporting():
        return None
    for name, why_not in SITES.items():
        if name in (AUTOMATIC if word == 'auto' else (word,)) and why_not(terms, windows) is None:
            return Choice(name, f'{source}, from before the norm')
    return None


def compute_funnel(choice: Choice, x: Tensor, windows: Sequence[Window], combine: str) -> Tensor:
    """Compute the funnel activation with the implementation that was chosen."""
    if choice.name == 'eager':
        return eager_funnel(x, windows, combine)
    return recompute_site([(x, None)], windows, combine, kernels=choice.name)
