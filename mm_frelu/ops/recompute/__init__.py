"""Activations that keep their input and a few numbers per channel for backward, and compute the rest again."""

from .conditions import why_not_recompute, why_not_recompute_site
from .funnel import recompute_site
from .piecewise import recompute_piecewise_max

__all__ = [
    'recompute_piecewise_max',
    'recompute_site',
    'why_not_recompute',
    'why_not_recompute_site',
]
