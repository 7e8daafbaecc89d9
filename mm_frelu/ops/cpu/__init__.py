"""Backend ``numba``: the funnel activation as compiled loops on a CPU. Numba is imported when a kernel is first needed."""

from .backend import BACKEND

__all__ = ['BACKEND']
