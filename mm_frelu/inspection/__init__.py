"""What activations do inside a trained model: which pixels choose the window, how far a value looked, how DY-ReLU bends.

Importing it registers :class:`.ActivationStatisticsHook`. The figures are in :mod:`mm_frelu.visualization`, the tools in ``tools/visualization``.
"""

from .statistics_hook import ActivationStatisticsHook

__all__ = ['ActivationStatisticsHook']
