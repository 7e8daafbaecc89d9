"""Fused kernels for FReLU and DY-ReLU, in Triton.

FReLU's are one of the kinds of arithmetic that a site can be computed with, :mod:`.site`. Importing this needs neither
triton nor a GPU; ``why_not_*`` say whether the kernels can compute a case.
"""

from .piecewise import fused_piecewise_max, why_not_piecewise
from .pooling import fused_pool_and_project, why_not_projection
from .requirements import why_not_funnel

__all__ = [
    'fused_piecewise_max',
    'fused_pool_and_project',
    'why_not_funnel',
    'why_not_piecewise',
    'why_not_projection',
]
