"""Find the ResNet that a PyTorch state dict with funnel activations belongs to, and map its names to those of this package.

Public ports call the activations of a block frelu1 to frelu3, act1, relu_a, ..., and their layers conv_frelu and bn_frelu,
conv and bn, f_conv and bn, depthwise_conv_bn.0 and .1. Therefore an activation is not recognised by its name but by its
structure: a child of a block that is neither a convolution, a norm nor a shortcut, and that has a depthwise convolution and a
norm.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from torch import Tensor

from ..backbones import ResNet
from ..engine.errors import UserError

HEADS = r'^(?:fc|classifier|linear)\.(weight|bias)$'
BLOCK = r'^layer([1-4])\.(\d+)\.(.+)$'


@dataclass
class PortedResNet:
    """A ResNet that was recognised in a state dict.

    Attributes:
        backbone: Config of the backbone for the weights.
        names: Name in the file for each name of this package. Unknown names of the file are mapped to themselves.
    """

    backbone: Dict[str, object]
    names: Dict[str, str] = field(default_factory=dict)

    @property
    def arch(self) -> str:
        """Value of ``--arch``."""
        return f'resnet{self.backbone["depth"]}'


def recognise_resnet(
    weights: Dict[str, Tensor], source: str, style: str, act_sites: Optional[Sequence[str]] = None
) -> Optional[PortedResNet]:
    """Determine depth, widths and the sites of the activations from names and shapes.

    Args:
        weights: Names and tensors of the file.
        source: Name of the file, for messages.
        style: Where a bottleneck has its stride, which does not follow from names and shapes.
        act_sites: Sites of the activations of a block, in the order of their names. None if a block has all of them.

    Returns:
        The network, or None if the names are not those of a ResNet.

    Raises:
        UserError: If there is no funnel activation, or the sites cannot be determined.
    """
    first = (weights.get('conv1.weight'), weights.get('layer1.0.conv1.weight'))
    if any(tensor is None or tensor.ndim != 4 for tensor in first):
        return None
    depth = _depth(weights)
    if depth is None:
        return None
    backbone: Dict[str, object] = dict(type='mm_frelu.ResNet', depth=depth, style=style)
    _add_widths(backbone, weights)
    sites = _sites(weights)
    if not sites:
        raise UserError(
            f'SRC: {source} is a {backbone["depth"]}-layer ResNet without funnel activations. It needs no conversion. Load '
            "it with init_cfg=dict(type='Pretrained', checkpoint=...) of a backbone with act_cfg=dict(type='FReLU', "
            "init='identity'), which is exactly the ReLU network at the start."
        )
    ported = PortedResNet(backbone)
    places = _places(sites, depth, source, act_sites)
    _add_placement(backbone, places, depth, source)
    windows = _windows(weights, places)
    _add_activation(backbone, weights, windows)
    theirs = {name: ours for ours, name in windows.items()}
    for name in weights:
        ours = theirs.get(name) or re.sub(r'\.shortcut\.', '.downsample.', name)
        ported.names[re.sub(HEADS, r'head.fc.\1', ours)] = name
    return ported


def _depth(weights: Dict[str, Tensor]) -> Optional[int]:
    blocks = [0, 0, 0, 0]
    for name in weights:
        found = re.match(BLOCK, name)
        if found:
            stage = int(found[1]) - 1
            blocks[stage] = max(blocks[stage], int(found[2]) + 1)
    wide = 'layer1.0.conv3.weight' in weights
    for depth, (block, number) in ResNet.arch_settings.items():
        if tuple(blocks) == tuple(number) and (block.expansion == 4) == wide:
            return depth
    return None


def _add_widths(backbone: Dict[str, object], weights: Dict[str, Tensor]) -> None:
    """Add the channel counts that differ from the default."""
    stem, image = weights['conv1.weight'].shape[:2]
    base = weights['layer1.0.conv1.weight'].shape[0]
    for key, found, usual in (
        ('in_channels', image, 3),
        ('base_channels', base, 64),
        ('stem_channels', stem, base),
    ):
        if found != usual:
            backbone[key] = found


def _sites(weights: Dict[str, Tensor]) -> Dict[Tuple[int, int], List[str]]:
    """Return the names of the activations with a depthwise convolution, by (stage, block); the stem is (-1, 0)."""
    found: Dict[Tuple[int, int], set] = defaultdict(set)
    for name, tensor in weights.items():
        if tensor.ndim != 4 or tensor.shape[1] != 1:
            continue
        in_block = re.match(BLOCK, name)
        if in_block:
            place, child = (int(in_block[1]) - 1, int(in_block[2])), in_block[3]
        else:
            place, child = (-1, 0), name
        child = child.partition('.')[0]
        if not re.fullmatch(r'(conv|bn)\d|downsample|shortcut', child):
            found[place].add(child)
    return {place: sorted(names) for place, names in found.items()}


def _places(
    sites: Dict[Tuple[int, int], List[str]],
    depth: int,
    source: str,
    act_sites: Optional[Sequence[str]],
) -> Dict[str, str]:
    """Return the name in this package and the name in the file for each activation."""
    every = ResNet.arch_settings[depth][0].sites
    places = {}
    for (stage, block), names in sites.items():
        if stage < 0:
            if len(names) > 1:
                raise UserError(
                    f'SRC: {source} has {", ".join(names)} outside its stages; expected at most one activation, after the '
                    'stem. Networks with other parts cannot be converted.'
                )
            places['act1'] = names[0]
            continue
        where = f'layer{stage + 1}.{block}'
        chosen = act_sites or every
        if len(names) != len(chosen):
            if act_sites:
                advice = f'--act-sites gives {len(act_sites)}'
            else:
                advice = (
                    f'a block has {len(every)} sites, and the names do not tell which of them these are. Give the sites '
                    f'with --act-sites, e.g. --act-sites {every[-2]}'
                )
            raise UserError(
                f'SRC: {source} has {len(names)} activations in {where} ({", ".join(names)}); {advice}.'
            )
        for site, name in zip(chosen, names):
            places[f'{where}.{site}'] = f'{where}.{name}'
    return places


def _add_placement(
    backbone: Dict[str, object], places: Dict[str, str], depth: int, source: str
) -> None:
    """Add the keys act_stages, act_sites and act_stem if they differ from the default."""
    block, blocks = ResNet.arch_settings[depth]
    if 'act1' in places:
        backbone['act_stem'] = True
    in_blocks = [name.split('.') for name in places if name != 'act1']
    stages = sorted({int(layer[-1]) - 1 for layer, *_ in in_blocks})
    sites = tuple(site for site in block.sites if any(name[-1] == site for name in in_blocks))
    if sum(blocks[stage] for stage in stages) * len(sites) != len(in_blocks):
        raise UserError(
            f'SRC: {source} has activations in some blocks of a stage but not in others, which mm_frelu.ResNet does not '
            'support. It cannot be converted.'
        )
    if tuple(stages) != (0, 1, 2):
        backbone['act_stages'] = tuple(stages)
    if sites != tuple(block.sites):
        backbone['act_sites'] = sites


def _windows(weights: Dict[str, Tensor], places: Dict[str, str]) -> Dict[str, str]:
    """Return the name in this package and the name in the file for each tensor of the activations."""
    windows = {}
    for ours, theirs in places.items():
        modules: Dict[str, List[str]] = defaultdict(list)
        for name in weights:
            if name.startswith(f'{theirs}.'):
                modules[name.rpartition('.')[0]].append(name)
        convs = sorted(key for key in modules if _sides(weights, key) == 4)
        norms = sorted(key for key in modules if f'{key}.running_mean' in weights)
        if len(convs) == 2 and weights[f'{convs[0]}.weight'].shape[-1] == 1:
            # LightFReLU has the row window first.
            convs, norms = convs[::-1], norms[::-1]
        for kind, found in (('conv', convs), ('norm', norms)):
            for number, module in enumerate(found, start=1):
                index = number if len(convs) == 2 else ''
                for name in modules[module]:
                    windows[f'{ours}.{kind}{index}.{name.rpartition(".")[2]}'] = name
    return windows


def _sides(weights: Dict[str, Tensor], module: str) -> int:
    weight = weights.get(f'{module}.weight')
    return 0 if weight is None else weight.ndim


def _add_activation(
    backbone: Dict[str, object], weights: Dict[str, Tensor], windows: Dict[str, str]
) -> None:
    """Add the key act_cfg if it differs from the default FReLU."""
    act_cfg: Dict[str, object] = {}
    first = next((name for name in windows if name.endswith(('.conv.weight', '.conv1.weight'))), '')
    if first.endswith('.conv1.weight'):
        act_cfg['type'] = 'LightFReLU'
    size = weights[windows[first]].shape[-1] if first else 3
    if size != 3:
        act_cfg['kernel_size'] = size
    if act_cfg:
        backbone['act_cfg'] = {'type': 'FReLU', **act_cfg}
