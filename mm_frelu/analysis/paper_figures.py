"""Parameters and multiply-adds from the two papers, with the corresponding networks of this package.

All figures are from a table or the abstract of a paper. The tables of the DY-ReLU paper were not available, so only the figure
in its abstract is included.
"""

import re
from typing import List, NamedTuple, Optional, Tuple

UNITS = {'K': 1e3, 'M': 1e6, 'G': 1e9}

RELEASED = 'the figures fit one window per block; the released code has three'
MOBILENET = 'windows at both sites add 31M, the paper has +3M; it does not say of which placement'
DYNAMIC_GROWTH = 'about 5 %'


class Network(NamedTuple):
    """A network of this package.

    Attributes:
        backbone: Its config.
        widths: Widths of the classifier's linear layers, see :class:`.classifier.Classifier`.
    """

    backbone: dict
    widths: Tuple[int, ...]


class Printed(NamedTuple):
    """A row of a paper.

    Attributes:
        name: Name of the network in the paper.
        placement: The activation and its placement in the network of this package.
        network: The network of this package.
        parameters: Number of parameters in the paper.
        macs: Multiply-adds in the paper, which calls them FLOPs.
        table: Table of the paper.
        remark: Reason for a difference, if there is one.
    """

    name: str
    placement: str
    network: Network
    parameters: str
    macs: str
    table: str
    remark: str = ''


class Pair(NamedTuple):
    """A network with its original activations and with DY-ReLU.

    Attributes:
        name: The network.
        placement: Placement of DY-ReLU.
        baseline: The network without DY-ReLU.
        dynamic: The network with DY-ReLU.
        growth: Increase of the multiply-adds in the paper, if known.
    """

    name: str
    placement: str
    baseline: Network
    dynamic: Network
    growth: Optional[str] = None


def agrees(ours: float, printed: str) -> bool:
    """Whether a number agrees with that in a paper, rounded up or down in the last digit.

    Args:
        ours: The exact number.
        printed: The number in the paper, such as ``'25.5M'``.

    Examples:
        >>> agrees(25_557_032, '25.5M'), agrees(25_718_312, '25.5M')
        (True, False)
    """
    match = re.fullmatch(r'([\d.]+)([KMG])', printed)
    assert match is not None, printed
    digits, unit = match.groups()
    step = 10 ** -len(digits.partition('.')[2])
    return abs(ours / UNITS[unit] - float(digits)) < step


def frelu_rows() -> List[Printed]:
    """Return tables 1, 2 and 3 of the FReLU paper. Its ResNets have ``style='caffe'``."""
    relu = dict(act_cfg=dict(type='ReLU'))
    partial = dict(act_sites='partial')
    rows = []
    for depth, without, relu_macs, parameters, macs in (
        (50, '25.5M', '3.86G', '25.5M', '3.87G'),
        (101, '44.4M', '7.6G', '44.5M', '7.6G'),
    ):
        rows += [
            _resnet(depth, 'ReLU', without, relu_macs, '', **relu),
            _resnet(depth, 'FReLU, 3 per block', parameters, macs, RELEASED),
            _resnet(depth, 'FReLU, after the 3x3', parameters, macs, '', **partial),
        ]
    mobilenet = dict(type='mm_frelu.MobileNetV1', widen_factor=0.75)
    for placement, macs, remark, options in (
        ('ReLU', '325M', '', relu),
        ('FReLU, both sites', '328M', MOBILENET, {}),
        (
            'FReLU, after the 3x3',
            '328M',
            'windows at this site add 13M, the paper has +3M',
            partial,
        ),
    ):
        network = Network({**mobilenet, **options}, (768, 1000))
        rows.append(Printed('MobileNet 0.75', placement, network, '2.5M', macs, 'table 2', remark))
    light = 'the figures fit the whole 3x3 window'
    for factor, placement, parameters, macs, remark, act in (
        (0.5, 'ReLU', '1.4M', '41M', '', 'ReLU'),
        (0.5, 'FReLU, light', '1.4M', '45M', '', 'LightFReLU'),
        (1.5, 'ReLU', '3.5M', '299M', '', 'ReLU'),
        (1.5, 'FReLU, light', '3.7M', '318M', light, 'LightFReLU'),
        (1.5, 'FReLU, 3x3', '3.7M', '318M', '', 'FReLU'),
    ):
        shufflenet = dict(type='mm_frelu.ShuffleNetV2', widen_factor=factor, act_cfg=dict(type=act))
        rows.append(
            Printed(
                f'ShuffleNetV2 {factor}x',
                placement,
                Network(shufflenet, (1024, 1000)),
                parameters,
                macs,
                'table 2' if factor == 0.5 else 'table 3',
                remark,
            )
        )
    return rows


def _resnet(
    depth: int, placement: str, parameters: str, macs: str, remark: str, **options
) -> Printed:
    backbone = dict(type='mm_frelu.ResNet', depth=depth, style='caffe', **options)
    return Printed(
        f'ResNet-{depth}',
        placement,
        Network(backbone, (2048, 1000)),
        parameters,
        macs,
        'table 1',
        remark,
    )


def dy_relu_pairs() -> List[Pair]:
    """Return the networks of the DY-ReLU paper with DY-ReLU-B, which replaces squeeze-and-excitation in MobileNetV3."""
    dynamic = dict(act_cfg=dict(type='DyReLUB'))
    pairs = []
    for factor in (0.35, 0.5, 0.75, 1.0):
        backbone = dict(type='mm_frelu.MobileNetV2', widen_factor=factor, out_indices=(7,))
        pairs.append(
            Pair(
                f'MobileNetV2 x{factor}',
                'both sites',
                Network({**backbone, 'act_cfg': dict(type='ReLU6')}, (1280, 1000)),
                Network({**backbone, **dynamic}, (1280, 1000)),
                DYNAMIC_GROWTH if factor == 1.0 else None,
            )
        )
    widths: Tuple[int, ...]
    for arch, last, widths in (('small', 12, (576, 1024, 1000)), ('large', 16, (960, 1280, 1000))):
        backbone = dict(type='mm_frelu.MobileNetV3', arch=arch, out_indices=(last,))
        pairs.append(
            Pair(
                f'MobileNetV3 {arch}',
                'both sites, no SE',
                Network({**backbone, 'act_cfg': None}, widths),
                Network({**backbone, **dynamic}, widths),
            )
        )
    for depth, placement, sites in (
        (10, 'all sites', 'all'),
        (18, 'all sites', 'all'),
        (34, 'all sites', 'all'),
        (50, 'all sites', 'all'),
        (50, 'not behind the sum', ('act1', 'act2')),
    ):
        backbone = dict(type='mm_frelu.ResNet', depth=depth)
        options = dict(**dynamic, act_stages=(0, 1, 2, 3), act_sites=sites)
        widths = (512 if depth < 50 else 2048, 1000)
        pairs.append(
            Pair(
                f'ResNet-{depth}',
                placement,
                Network({**backbone, 'act_cfg': dict(type='ReLU')}, widths),
                Network({**backbone, **options}, widths),
            )
        )
    return pairs
