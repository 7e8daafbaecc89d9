"""How an activation is computed: the eager reference that every faster path is held to."""

from .funnel import funnel, funnel_condition
from .piecewise import piecewise_max

__all__ = ['funnel', 'funnel_condition', 'piecewise_max']
