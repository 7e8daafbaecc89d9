"""Backbones with a separate activation module at each site, registered under the scope ``mm_frelu``."""

from .mobilenet_v1 import MobileNetV1
from .mobilenet_v2 import MobileNetV2
from .mobilenet_v3 import MobileNetV3
from .resnet import ResNet, ResNetV1c, ResNetV1d
from .resnet_blocks import BasicBlock, Bottleneck
from .shufflenet_v2 import ShuffleNetV2
from .squeeze_excitation import SqueezeExcitation

__all__ = [
    'BasicBlock',
    'Bottleneck',
    'MobileNetV1',
    'MobileNetV2',
    'MobileNetV3',
    'ResNet',
    'ResNetV1c',
    'ResNetV1d',
    'ShuffleNetV2',
    'SqueezeExcitation',
]
