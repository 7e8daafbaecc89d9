"""The funnel activation on a CPU by compiled loops over planes. Numba itself is imported when a kernel is first wanted."""

from .backend import BACKEND

__all__ = ['BACKEND']
