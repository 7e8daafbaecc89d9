"""Activation layers, registered in MMEngine's root registry so that they build under every default scope."""

from .builder import build_activation
from .frelu import FReLU
from .funnel_activation import FunnelActivation
from .light_frelu import LightFReLU

__all__ = ['FReLU', 'FunnelActivation', 'LightFReLU', 'build_activation']
