"""Fused kernels for FReLU and DY-ReLU, in Triton.

Importing this needs neither triton nor a GPU; ``why_not_*`` say whether the kernels can compute a case.
"""

from .funnel import fused_funnel, why_not_funnel
from .piecewise import fused_piecewise_max, why_not_piecewise
from .pooling import fused_pool_and_project, why_not_projection

__all__ = [
    'fused_funnel',
    'fused_piecewise_max',
    'fused_pool_and_project',
    'why_not_funnel',
    'why_not_piecewise',
    'why_not_projection',
]
