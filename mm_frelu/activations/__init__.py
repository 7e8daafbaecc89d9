"""Activation layers, registered in MMEngine's root registry so that they build under every default scope."""

from .builder import build_activation
from .dy_relu import DyReLUA, DyReLUB
from .dy_relu_c import DyReLUC
from .dynamic_relu import DynamicReLU
from .frelu import FReLU
from .funnel_ablation import FReLUAblation
from .funnel_activation import FunnelActivation
from .light_frelu import LightFReLU
from .maxout import Maxout
from .se_relu import SEReLU

__all__ = [
    'DyReLUA',
    'DyReLUB',
    'DyReLUC',
    'DynamicReLU',
    'FReLU',
    'FReLUAblation',
    'FunnelActivation',
    'LightFReLU',
    'Maxout',
    'SEReLU',
    'build_activation',
]
