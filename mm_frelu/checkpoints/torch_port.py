"""PyTorch weights of networks with FReLU, other people's ports, in the layout that mmengine, mmdet, mmseg and mmpretrain load."""

from pathlib import Path
from typing import Dict, Optional, Sequence

import torch
from torch import Tensor

from ..backbones import ResNet
from ..engine.errors import UserError
from ..engine.preprocessing import Preprocessing
from ..version import __version__
from .architectures import ARCHITECTURES, norm_behind, recognise, shapes_of
from .files import sha256
from .layout import absorb_bias
from .matching import refuse_names, require_sane
from .megengine import convert_state_dict
from .torch_file import read_torch_state_dict
from .torch_network import PortedResNet, recognise_resnet

CONVERTER_VERSION = 1
"""Counts up when the same source would give other weights or another layout."""

ADVICE = (
    'Give the whole state dict of a ResNet as torchvision names it, with FReLU or light FReLU; networks with other layers '
    'cannot be converted.'
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
        preprocessing: The pixels that the network was trained on, which no weight tells.
        arch: What it must be, e.g. ``'resnet50'``; None takes what its names say.
        style: Where a bottleneck of a ResNet has its stride, which no weight tells either.
        act_sites: Sites of a block's activations, in the order of their names; needed where a block does not have all.

    Returns:
        ``state_dict`` in the layout of an mmpretrain classifier (``backbone.*``, and ``head.fc.*`` where the file has a
        classifier), and ``meta`` as :func:`~mm_frelu.checkpoints.megengine.convert_megengine` gives it.

    Raises:
        UserError: When the file is not such a state dict, or one tensor is missing, too many, of a wrong shape or not
            finite.
    """
    weights = read_torch_state_dict(source)
    name = str(source)
    ported = recognise_resnet(weights, name, style, act_sites)
    official = recognise(weights) if 'first_conv.0.weight' in weights else None
    found = ported.arch if ported else official.name if official else None
    if found is None:
        names = ', '.join(list(weights)[:3])
        raise UserError(
            f'SRC: {source} holds the weights of another network: {len(weights)} tensors ({names}, ...). Expected a ResNet '
            'with the names of torchvision and FReLU in its blocks, or a ShuffleNetV2 with the official names.'
        )
    if arch not in (None, found):
        raise UserError(
            f'--arch {arch}: {source} holds a {found}. Leave --arch out, or give the file of a {arch}.'
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
    """Names for ``--arch``."""
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
    # A norm takes a bias out again, so many ports leave the windows' out; ours has one, which is then 0.
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
        mean = f'{norm_behind(bias[: -len(".bias")])}.running_mean'
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
            f'SRC: {source}: the tensor {name} is of type {tensor.dtype}; expected floating point numbers. Quantised '
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
