"""How an activation is computed: one entry per activation, with interchangeable implementations."""

from .eager import eager_funnel, eager_piecewise_max, funnel_condition
from .funnel import choose_funnel, choose_site, compute_funnel, funnel
from .implementation import IMPLEMENTATIONS, Choice
from .piecewise import choose_piecewise, compute_piecewise_max, piecewise_max
from .pooling import pool, pool_and_project
from .recompute import recompute_site
from .sum_of_norms import Term, sum_of_norms

__all__ = [
    'IMPLEMENTATIONS',
    'Choice',
    'Term',
    'choose_funnel',
    'choose_piecewise',
    'choose_site',
    'compute_funnel',
    'compute_piecewise_max',
    'eager_funnel',
    'eager_piecewise_max',
    'funnel',
    'funnel_condition',
    'piecewise_max',
    'pool',
    'pool_and_project',
    'recompute_site',
    'sum_of_norms',
]
