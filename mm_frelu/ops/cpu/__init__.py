"""The funnel activation on a CPU by compiled loops over planes. Numba itself is imported when a kernel is first wanted."""

from .requirements import why_not_numba, why_not_numba_site

__all__ = ['why_not_numba', 'why_not_numba_site']
