"""Networks whose official weights can be converted: official names, names in this package, shapes."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Dict, Mapping, Optional, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from ..backbones import ShuffleNetV2
from ..registry import MODELS


@dataclass(frozen=True)
class Architecture:
    """One network of the official code.

    Attributes:
        name: Value of ``--arch``.
        backbone: Config of the backbone for the weights, as (key, value) pairs.
        renames: (pattern, replacement) pairs that convert a name of this package into the official one.
        biased: Whether the convolutions of the official network have biases. The backbone's convolutions have none.
    """

    name: str
    backbone: Tuple[Tuple[str, object], ...]
    renames: Tuple[Tuple[str, str], ...]
    biased: bool = False

    def official_name(self, name: str) -> str:
        """Return the official name of a tensor of this package, which is given without ``backbone.``."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name

    def shapes(self) -> Dict[str, Tuple[int, ...]]:
        """Return names and shapes of the backbone's tensors, without ``num_batches_tracked``."""
        return dict(_backbone_shapes(self.backbone))

    def num_features(self) -> int:
        """Return the input channels of the classifier, which are those of the backbone's last norm."""
        *_, (channels,) = (shape for shape in self.shapes().values() if len(shape) == 1)
        return channels

    def absorbed_biases(self) -> Dict[str, str]:
        """Return the official name of each convolution's bias, and the name of the running mean that absorbs it."""
        if not self.biased:
            return {}
        biases = {}
        for name, shape in self.shapes().items():
            conv = name[: -len('.weight')]
            if len(shape) == 4 and '.act' not in name:
                biases[f'{conv}.bias'] = f'{norm_after(conv)}.running_mean'
        return biases


def norm_after(conv: str) -> str:
    """Return the name of the norm that follows a convolution of ResNet.

    ``layer1.0.conv2`` is followed by ``layer1.0.bn2``, ``layer1.0.downsample.0`` by ``layer1.0.downsample.1``, a window's
    ``act1.conv`` by ``act1.norm``.
    """
    if conv.endswith('downsample.0'):
        return conv[:-1] + '1'
    norm = 'norm' if re.search(r'\bact\d\.conv\d?$', conv) else 'bn'
    return re.sub(r'conv(\d?)$', rf'{norm}\1', conv)


def shapes_of(backbone: Dict[str, object]) -> Dict[str, Tuple[int, ...]]:
    """Return names and shapes of the tensors of a backbone config, without ``num_batches_tracked``."""
    with torch.device('meta'):
        model = MODELS.build(dict(backbone))
    return {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not name.endswith('num_batches_tracked')
    }


@cache
def _backbone_shapes(
    backbone: Tuple[Tuple[str, object], ...],
) -> Tuple[Tuple[str, Tuple[int, ...]], ...]:
    return tuple(shapes_of(dict(backbone)).items())


def _shufflenet_v2(name: str, widen_factor: float) -> Architecture:
    return Architecture(
        name,
        backbone=(('type', 'mm_frelu.ShuffleNetV2'), ('widen_factor', widen_factor)),
        renames=(
            (r'\.conv(\d)\.', r'.conv_frelu\1.'),
            (r'\.norm(\d)\.', r'.bn\1.'),
            (r'^head\.fc\.', 'classifier.0.'),
        ),
    )


ARCHITECTURES = (
    Architecture(
        'resnet50',
        backbone=(('type', 'mm_frelu.ResNet'), ('depth', 50), ('style', 'caffe')),
        renames=(
            (r'\.act(\d)\.conv\.', r'.frelu\1.conv_frelu.'),
            (r'\.act(\d)\.norm\.', r'.frelu\1.bn_frelu.'),
            (r'^head\.fc\.', 'fc.'),
        ),
        biased=True,
    ),
    _shufflenet_v2('shufflenet_v2_x0_5', 0.5),
    _shufflenet_v2('shufflenet_v2_x1_0', 1.0),
    _shufflenet_v2('shufflenet_v2_x1_5', 1.5),
    _shufflenet_v2('shufflenet_v2_x2_0', 2.0),
)


def recognise(weights: Mapping[str, Union[np.ndarray, Tensor]]) -> Optional[Architecture]:
    """Recognise the architecture of a state dict by a few names and shapes.

    Args:
        weights: Official names, and arrays or tensors.

    Returns:
        The architecture, or None if it is unknown.
    """
    by_name = {arch.name: arch for arch in ARCHITECTURES}
    if 'layer1.0.conv1.weight' in weights and 'fc.weight' in weights:
        return by_name['resnet50']
    first = weights.get('features.1.branch_main.0.weight')
    if first is None or 'first_conv.0.weight' not in weights:
        return None
    for widen_factor, (channels, *_) in ShuffleNetV2.arch_settings.items():
        if first.shape[0] == channels // 2:
            return by_name['shufflenet_v2_x' + str(widen_factor).replace('.', '_')]
    return None
