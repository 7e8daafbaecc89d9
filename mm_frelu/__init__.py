"""FReLU and DY-ReLU for OpenMMLab.

Importing this package registers the activation layers, backbones, transforms and hooks. It imports neither mmdet nor
mmseg. Import it before them if mmcv has no compiled ops (see :mod:`mm_frelu.compat`).
"""

from .compat import install_missing_ops

install_missing_ops()

from . import backbones, necks  # noqa: E402, F401  (registration)
from .activations import (  # noqa: E402
    DyReLUA,
    DyReLUB,
    DyReLUC,
    FReLU,
    LightFReLU,
    build_activation,
)
from .backbones import (  # noqa: E402
    MobileNetV1,
    MobileNetV2,
    MobileNetV3,
    ResNet,
    ResNetV1c,
    ResNetV1d,
    ShuffleNetV2,
)
from .replacement import replace_activations  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = [
    'DyReLUA',
    'DyReLUB',
    'DyReLUC',
    'FReLU',
    'LightFReLU',
    'MobileNetV1',
    'MobileNetV2',
    'MobileNetV3',
    'ResNet',
    'ResNetV1c',
    'ResNetV1d',
    'ShuffleNetV2',
    '__version__',
    'build_activation',
    'replace_activations',
]
