"""Backbones with one activation per site, registered under the scope ``mm_frelu``."""

from .resnet import ResNet, ResNetV1c, ResNetV1d
from .resnet_blocks import BasicBlock, Bottleneck
from .shufflenet_v2 import ShuffleNetV2
from .squeeze_excitation import SqueezeExcitation

__all__ = [
    'BasicBlock',
    'Bottleneck',
    'ResNet',
    'ResNetV1c',
    'ResNetV1d',
    'ShuffleNetV2',
    'SqueezeExcitation',
]
