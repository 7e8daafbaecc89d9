"""Convert the official FReLU weights (megvii-model/FunnelAct) to a checkpoint for mmengine, mmdet, mmseg and mmpretrain."""

from pathlib import Path
from typing import Dict, Optional

import numpy as np
import torch
from torch import Tensor

from ..engine.errors import UserError
from ..version import __version__
from .architectures import ARCHITECTURES, Architecture, recognise
from .layout import absorb_bias, to_torch_layout
from .matching import refuse_names, require_sane
from .megengine_file import read_megengine_file

CONVERTER_VERSION = 1
"""Increased when the converter gives other weights or another layout for the same source."""

# Pixels as read by OpenCV: the official test.py of the released weights does not normalise (earlier revisions did).
PREPROCESSING = dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)

ADVICE = 'Give the complete official FReLU checkpoint. Weights with another activation or other layers cannot be converted.'


def convert_megengine(source: Path, arch: Optional[str] = None) -> dict:
    """Convert a file of official weights.

    Args:
        source: A MegEngine state dict, see :func:`read_megengine_file`.
        arch: Required architecture, a name from :data:`ARCHITECTURES`. None accepts the one that the file's names indicate.

    Returns:
        ``state_dict`` in the layout of an mmpretrain classifier (``backbone.*``, ``head.fc.*``), and ``meta`` with the
        architecture, the config of the backbone, the preprocessing, the hash of the source and the converter's version.

    Raises:
        UserError: If the file is not such a state dict, or a tensor is missing, unexpected, of a wrong shape or not finite.
    """
    weights, sha256 = read_megengine_file(source)
    architecture = _architecture(source, weights, arch)
    return dict(
        meta=dict(
            arch=architecture.name,
            backbone=dict(architecture.backbone),
            preprocessing=PREPROCESSING,
            source=dict(name=source.name, sha256=sha256),
            converter=dict(name='megengine_to_mm', version=CONVERTER_VERSION, mm_frelu=__version__),
        ),
        state_dict=convert_state_dict(weights, architecture, str(source)),
    )


def convert_state_dict(
    weights: Dict[str, np.ndarray], architecture: Architecture, source: str
) -> Dict[str, Tensor]:
    """Rename, reshape and check every tensor.

    Args:
        weights: Official names and arrays.
        architecture: Their architecture.
        source: Name of the file, for messages.

    Returns:
        Names of this package and tensors.

    Raises:
        UserError: If a tensor is missing, unexpected, of a wrong shape or not finite.
    """
    shapes = {f'backbone.{name}': shape for name, shape in architecture.shapes().items()}
    official = {name: architecture.official_name(name[len('backbone.') :]) for name in shapes}
    biases = architecture.absorbed_biases()
    shapes.update(_head_shapes(weights, architecture, source))
    official.update(
        {name: architecture.official_name(name) for name in shapes if name.startswith('head.')}
    )
    expected = {*official.values(), *biases}
    refuse_names(source, architecture.name, 'lacks', sorted(expected - set(weights)), ADVICE)
    refuse_names(source, architecture.name, 'has', sorted(set(weights) - expected), ADVICE)

    state = {
        name: _tensor(weights, official[name], shape, source) for name, shape in shapes.items()
    }
    for bias, mean in biases.items():
        mean = f'backbone.{mean}'
        state[mean] = absorb_bias(state[mean], _tensor(weights, bias, shapes[mean], source))
    for name in [name for name in state if name.endswith('.running_var')]:
        state[name.replace('running_var', 'num_batches_tracked')] = torch.tensor(0)
    if 'head.fc.bias' not in state:
        # The classifier of the official ShuffleNetV2 has no bias, mmpretrain's linear head has one.
        state['head.fc.bias'] = torch.zeros(state['head.fc.weight'].shape[0])
    return state


def _architecture(
    source: Path, weights: Dict[str, np.ndarray], arch: Optional[str]
) -> Architecture:
    found = recognise(weights)
    known = ', '.join(architecture.name for architecture in ARCHITECTURES)
    if found is None:
        names = ', '.join(list(weights)[:3])
        raise UserError(
            f'SRC: {source} has the weights of another network: {len(weights)} tensors ({names}, ...). '
            f'Expected the official FReLU weights of one of {known}.'
        )
    if arch not in (None, found.name):
        raise UserError(
            f'--arch {arch}: {source} has the weights of {found.name}. Omit --arch, or give a file with weights of {arch}.'
        )
    return found


def _head_shapes(
    weights: Dict[str, np.ndarray], architecture: Architecture, source: str
) -> Dict[str, tuple]:
    """Return the shapes of the head. The file determines the number of classes, the backbone that of the channels."""
    name = architecture.official_name('head.fc.weight')
    refuse_names(source, architecture.name, 'lacks', [] if name in weights else [name], ADVICE)
    shapes: Dict[str, tuple] = {}
    shapes['head.fc.weight'] = (weights[name].shape[0], architecture.num_features())
    if architecture.biased:
        shapes['head.fc.bias'] = shapes['head.fc.weight'][:1]
    return shapes


def _tensor(weights: Dict[str, np.ndarray], name: str, shape: tuple, source: str) -> Tensor:
    try:
        tensor = to_torch_layout(weights[name], shape)
    except ValueError as error:
        raise UserError(
            f'SRC: {source}: the tensor {name} has a wrong shape: {error}. The file is damaged or of another network.'
        ) from error
    return require_sane(tensor, name, source)
