"""Whose arithmetic a site is computed with. All of them keep the same, and differ in time.

Each is a module with the functions ``forward`` and ``backward`` of :mod:`.torch_kernels`.
"""

from types import MappingProxyType, ModuleType

from ..cpu import site as numba_kernels
from ..fused import site as fused_kernels
from . import torch_kernels
from .site import Site

KERNELS = MappingProxyType(
    {'recompute': torch_kernels, 'numba': numba_kernels, 'triton': fused_kernels}
)


def kernels_of(site: Site) -> ModuleType:
    """The module that computes a site."""
    return KERNELS[site.kernels]
