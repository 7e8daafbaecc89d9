"""The activations as functions, with interchangeable backends (see :mod:`.dispatch`)."""

from .dispatch import IMPLEMENTATIONS, Choice
from .eager import Branch, funnel_condition, sum_of_norms
from .functional import (
    activate,
    activate_piecewise,
    funnel,
    piecewise_max,
    pool,
    pool_and_project,
)

__all__ = [
    'IMPLEMENTATIONS',
    'Branch',
    'Choice',
    'activate',
    'activate_piecewise',
    'funnel',
    'funnel_condition',
    'piecewise_max',
    'pool',
    'pool_and_project',
    'sum_of_norms',
]
