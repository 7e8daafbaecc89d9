"""Convert PyTorch weights of other FReLU implementations to a checkpoint for mmengine, mmdet, mmseg and mmpretrain."""

from pathlib import Path
from typing import Dict, Optional, Sequence

import torch
from torch import Tensor

from ..backbones import ResNet
from ..engine.errors import UserError
from ..engine.preprocessing import Preprocessing
from ..version import __version__
from .architectures import ARCHITECTURES, norm_after, recognise, shapes_of
from .files import sha256
from .layout import absorb_bias
from .matching import refuse_names, require_sane
from .megengine import convert_state_dict
from .torch_file import read_torch_state_dict
from .torch_network import PortedResNet, recognise_resnet

CONVERTER_VERSION = 1
"""Increased when the converter gives other weights or another layout for the same source."""

ADVICE = (
    'Give the complete state dict of a ResNet with the names of torchvision and FReLU or light FReLU. Networks with other '
    'layers cannot be converted.'
)


def convert_torch(
    source: Path,
    preprocessing: Preprocessing,
    arch: Optional[str] = None,
    style: str = 'pytorch',
    act_sites: Optional[Sequence[str]] = None,
) -> dict:
    """Convert a state dict.

    Args:
        source: A file of ``torch.save``, see :func:`read_torch_state_dict`.
        preprocessing: Preprocessing that the network was trained with, which does not follow from the weights.
        arch: Required architecture, e.g. ``'resnet50'``. None accepts the one that the file's names indicate.
        style: Where a bottleneck of a ResNet has its stride, which does not follow from the weights either.
        act_sites: Sites of a block's activations, in the order of their names. Required if a block does not have all of
            them.

    Returns:
        ``state_dict`` in the layout of an mmpretrain classifier (``backbone.*``, and ``head.fc.*`` if the file has a
        classifier), and ``meta`` as in :func:`~mm_frelu.checkpoints.megengine.convert_megengine`.

    Raises:
        UserError: If the file is not such a state dict, or a tensor is missing, unexpected, of a wrong shape or not finite.
    """
    weights = read_torch_state_dict(source)
    name = str(source)
    ported = recognise_resnet(weights, name, style, act_sites)
    official = recognise(weights) if 'first_conv.0.weight' in weights else None
    found = ported.arch if ported else official.name if official else None
    if found is None:
        names = ', '.join(list(weights)[:3])
        raise UserError(
            f'SRC: {source} has the weights of another network: {len(weights)} tensors ({names}, ...). Expected a ResNet '
            'with the names of torchvision and FReLU in its blocks, or a ShuffleNetV2 with the official names.'
        )
    if arch not in (None, found):
        raise UserError(
            f'--arch {arch}: {source} has the weights of {found}. Omit --arch, or give a file with weights of {arch}.'
        )
    weights = {key: _float32(tensor, key, name) for key, tensor in weights.items()}
    if ported:
        backbone, state = ported.backbone, _convert_resnet(weights, ported, name)
    else:
        assert official is not None  # one of the two was found
        arrays = {key: tensor.numpy() for key, tensor in weights.items()}
        backbone, state = dict(official.backbone), convert_state_dict(arrays, official, name)
    return dict(
        meta=dict(
            arch=found,
            backbone=backbone,
            preprocessing=preprocessing.as_dict(),
            source=dict(name=source.name, sha256=sha256(source.expanduser())),
            converter=dict(name='torch_to_mm', version=CONVERTER_VERSION, mm_frelu=__version__),
        ),
        state_dict=state,
    )


def known_architectures() -> Sequence[str]:
    """Return the valid values of ``--arch``."""
    others = [arch.name for arch in ARCHITECTURES if not arch.name.startswith('resnet')]
    return [f'resnet{depth}' for depth in ResNet.arch_settings] + others


def _convert_resnet(
    weights: Dict[str, Tensor], ported: PortedResNet, source: str
) -> Dict[str, Tensor]:
    shapes = shapes_of(ported.backbone)
    names = dict(ported.names)
    features = [shape for shape in shapes.values() if len(shape) == 1][-1][0]
    head = names.get('head.fc.weight')
    if head is not None:
        classes = weights[head].shape[0] if weights[head].ndim == 2 else -1
        shapes.update({'head.fc.weight': (classes, features), 'head.fc.bias': (classes,)})
    biases = {
        f'{name[: -len(".weight")]}.bias' for name, shape in shapes.items() if len(shape) == 4
    }
    absorbed = (biases - set(shapes)) & set(names)
    # A norm cancels the bias before it, so many ports omit the bias of the windows. FReLU has one, which is set to 0.
    unbiased = {name for name in biases & set(shapes) if '.act' in name or name.startswith('act')}
    zeros = unbiased if not unbiased & set(names) else set()
    if 'head.fc.bias' not in names:
        zeros |= {'head.fc.bias'} & set(shapes)
    lacking = sorted(set(shapes) - set(names) - zeros)
    refuse_names(source, ported.arch, 'lacks', lacking, ADVICE)
    too_many = sorted(names[name] for name in set(names) - set(shapes) - absorbed)
    refuse_names(source, ported.arch, 'has', too_many, ADVICE)

    state = {}
    for name, shape in shapes.items():
        if name in zeros:
            state[name] = torch.zeros(shape)
        else:
            state[name] = _tensor(weights, names[name], shape, source)
    for bias in absorbed:
        mean = f'{norm_after(bias[: -len(".bias")])}.running_mean'
        state[mean] = absorb_bias(state[mean], _tensor(weights, names[bias], shapes[mean], source))
    for name in [name for name in state if name.endswith('.running_var')]:
        state[name.replace('running_var', 'num_batches_tracked')] = torch.tensor(0)
    return {
        name if name.startswith('head.') else f'backbone.{name}': tensor
        for name, tensor in state.items()
    }


def _float32(tensor: Tensor, name: str, source: str) -> Tensor:
    if not tensor.dtype.is_floating_point:
        raise UserError(
            f'SRC: {source}: the tensor {name} has the type {tensor.dtype}; expected floating point numbers. Quantised '
            'networks cannot be converted.'
        )
    return tensor.to(torch.float32)


def _tensor(weights: Dict[str, Tensor], name: str, shape: tuple, source: str) -> Tensor:
    tensor = weights[name]
    if tuple(tensor.shape) != shape:
        raise UserError(
            f'SRC: {source}: the tensor {name} has a wrong shape: expected {shape}, found {tuple(tensor.shape)}. {ADVICE}'
        )
    return require_sane(tensor, name, source).clone()
