"""The official FReLU weights (megvii-model/FunnelAct) as a checkpoint that mmengine, mmdet, mmseg and mmpretrain load."""

from pathlib import Path
from typing import Dict, List, Optional

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
"""Counts up when the same source would give other weights or another layout."""

# What OpenCV reads: the official test.py of the released weights does not normalise (revisions before them did).
PREPROCESSING = dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)


def convert_megengine(source: Path, arch: Optional[str] = None) -> dict:
    """Convert a file of official weights.

    Args:
        source: A MegEngine state dict, see :func:`read_megengine_file`.
        arch: What it must be, a name out of :data:`ARCHITECTURES`; None takes what its names say.

    Returns:
        ``state_dict`` in the layout of an mmpretrain classifier (``backbone.*``, ``head.fc.*``), and ``meta`` with the
        architecture, the backbone's config, the preprocessing, the source's hash and the converter's version.

    Raises:
        UserError: When the file is not such a state dict, or one tensor is missing, too many, of a wrong shape or not
            finite.
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
        architecture: What they belong to.
        source: Name of the file, for messages.

    Raises:
        UserError: When one tensor is missing, too many, of a wrong shape or not finite.
    """
    shapes = {f'backbone.{name}': shape for name, shape in architecture.shapes().items()}
    official = {name: architecture.official_name(name[len('backbone.') :]) for name in shapes}
    biases = architecture.absorbed_biases()
    shapes.update(_head_shapes(weights, architecture, source))
    official.update(
        {name: architecture.official_name(name) for name in shapes if name.startswith('head.')}
    )
    expected = {*official.values(), *biases}
    _refuse_names(source, architecture, 'lacks', sorted(expected - set(weights)))
    _refuse_names(source, architecture, 'has', sorted(set(weights) - expected))

    state = {
        name: _tensor(weights, official[name], shape, source) for name, shape in shapes.items()
    }
    for bias, mean in biases.items():
        mean = f'backbone.{mean}'
        state[mean] = absorb_bias(state[mean], _tensor(weights, bias, shapes[mean], source))
    for name in [name for name in state if name.endswith('.running_var')]:
        state[name.replace('running_var', 'num_batches_tracked')] = torch.tensor(0)
    if 'head.fc.bias' not in state:
        # The official ShuffleNetV2 classifies without a bias, mmpretrain's linear head has one.
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
            f'SRC: {source} holds the weights of another network: {len(weights)} tensors ({names}, ...). '
            f'Expected the official FReLU weights of one of {known}.'
        )
    if arch not in (None, found.name):
        raise UserError(
            f'--arch {arch}: {source} holds a {found.name}. Leave --arch out, or give the file of a {arch}.'
        )
    return found


def _head_shapes(
    weights: Dict[str, np.ndarray], architecture: Architecture, source: str
) -> Dict[str, tuple]:
    """The head has as many classes as the file says; how many channels it takes is up to the backbone."""
    name = architecture.official_name('head.fc.weight')
    _refuse_names(source, architecture, 'lacks', [] if name in weights else [name])
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
            f'SRC: {source}: the tensor {name} has a wrong shape: {error}. The file is of another network or damaged.'
        ) from error
    return require_sane(tensor, name, source)


def _refuse_names(source: str, architecture: Architecture, verb: str, names: List[str]) -> None:
    refuse_names(
        source,
        architecture.name,
        verb,
        names,
        'Give the whole official FReLU checkpoint; weights of another activation or with other layers cannot be converted.',
    )
