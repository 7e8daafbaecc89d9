"""Inspect the activations of a trained model: which pixels choose the window, activate fields, and the shape of DY-ReLU.

Importing the package registers :class:`.ActivationStatisticsHook`. The figures are in :mod:`mm_frelu.visualization`, the tools
in ``tools/visualization``.
"""

from .statistics_hook import ActivationStatisticsHook

__all__ = ['ActivationStatisticsHook']
