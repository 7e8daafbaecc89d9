"""Which sites of the MobileNets get the activation, and what a wrong word is answered."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mobile_networks import NETWORKS, small
from torch import nn

from mm_frelu import FReLU, MobileNetV1, MobileNetV2, MobileNetV3
from mm_frelu.activations import DynamicReLU
from mm_frelu.backbones.hard_squeeze_excitation import HardSqueezeExcitation
from mm_frelu.backbones.mobilenet_block import MobileBlock

FRELU = dict(act_cfg=dict(type='FReLU'))
EVERYWHERE = dict(act_stem=True, act_last=True)


def names_of(model, kind):
    return [name for name, layer in model.named_modules() if isinstance(layer, kind)]


@pytest.mark.parametrize(
    ('network', 'options', 'count'),
    [
        (MobileNetV1, {}, 2 * 13),
        (MobileNetV1, dict(act_stem=True), 2 * 13 + 1),
        (MobileNetV1, dict(act_sites='partial'), 13),
        (MobileNetV1, dict(act_stages=(3,)), 2 * 6),
        (MobileNetV2, {}, 2 * 17 - 1),
        (MobileNetV2, EVERYWHERE, 2 * 17 + 1),
        (MobileNetV2, dict(act_sites='act1'), 16),
        (MobileNetV2, dict(act_sites='partial'), 17),
        (MobileNetV2, dict(act_stages=(0, 1)), 1 + 4),
        (MobileNetV2, dict(act_stages=()), 0),
        (MobileNetV3, {}, 2 * 11 - 1),
        (MobileNetV3, EVERYWHERE, 2 * 11 + 1),
        (
            MobileNetV3,
            dict(arch='large', out_indices=(16,), act_sites=('act1', 'act2')),
            2 * 15 - 1,
        ),
        (MobileNetV3, dict(act_stages=(0, 2)), 1 + 2),
    ],
)
def test_counts(network, options, count):
    assert len(names_of(small(network, **FRELU, **options), FReLU)) == count


@pytest.mark.parametrize(
    ('network', 'expected'),
    [
        (MobileNetV1, ['layer1.0.act1', 'layer1.0.act2', 'layer2.0.act1']),
        (MobileNetV2, ['layer1.0.act2', 'layer2.0.act1', 'layer2.0.act2']),
        (MobileNetV3, ['layer1.act2', 'layer2.act1', 'layer2.act2']),
    ],
)
def test_names_and_widths(network, expected):
    """Each site has a module of its own, as wide as the convolution before it."""
    model = small(network, **FRELU)
    assert names_of(model, FReLU)[:3] == expected
    for block in model.modules():
        if isinstance(block, MobileBlock):
            convs = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
            widths = {conv.out_channels for conv in convs}
            assert {act.num_channels for act in block.activations()} <= widths


def test_the_linear_bottleneck_stays_linear():
    """Nothing follows the projection: a block of V2 that is given nothing but its shift puts it out, also below zero."""
    model = small(MobileNetV2, **FRELU).eval()
    block = model.layer3[1]
    nn.init.zeros_(block.conv[2].conv.weight)
    nn.init.constant_(block.conv[2].bn.bias, -3.0)
    x = torch.rand(1, block.conv[0].conv.in_channels, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(block(x), x - 3.0)


def test_own_activations_of_v3():
    """act_cfg=None: the paper's column, ReLU in the first blocks and h-swish after them, in the stem and at the end."""
    model = small(MobileNetV3, act_cfg=None)
    swish = names_of(model, nn.Hardswish)
    assert len(swish) == 1 + 2 * 8 + 1
    assert swish[0] == 'stem_act'
    assert swish[-1] == 'last_act'
    assert isinstance(model.layer3.act1, nn.ReLU)
    model = small(MobileNetV3, act_cfg=None, base_act_cfg=dict(type='ReLU'))
    assert names_of(model, nn.Hardswish) == []


def test_squeeze_and_excitation_gives_way_to_dy_relu():
    def count(**options):
        return len(names_of(small(MobileNetV3, **options), HardSqueezeExcitation))

    assert count(act_cfg=None) == count(act_cfg=dict(type='FReLU')) == 9
    assert count() == count(act_cfg=dict(type='DyReLUA')) == 0
    # Rows 1, 4 and 5 of the paper's table have it; the blocks that keep their activation keep it.
    assert count(act_stages=(0, 1, 3)) == 9 - 2
    assert count(with_se=True) == 9
    assert count(act_cfg=None, with_se=False) == 0
    large = MobileNetV3('large', act_cfg=None)
    assert len(names_of(large, HardSqueezeExcitation)) == 8


@pytest.mark.parametrize(
    'act', ['ReLU', 'SiLU', 'PReLU', 'GELU', 'LightFReLU', 'DyReLUA', 'DyReLUC']
)
@pytest.mark.parametrize('network', NETWORKS)
def test_every_parameter_learns(network, act):
    last = {} if network is MobileNetV1 else dict(act_last=True)
    model = small(network, act_cfg=dict(type=act), act_stem=True, **last)
    model(torch.randn(2, 3, 64, 64))[-1].square().sum().backward()
    without = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert without == []


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg'])
@pytest.mark.parametrize('network', NETWORKS)
def test_builds_by_type_under_every_scope(network, scope):
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(dict(type=f'mm_frelu.{network.__name__}'))
    assert isinstance(model, network)


@pytest.mark.parametrize('network', NETWORKS)
def test_activations_follow_norm_cfg(network):
    model = small(network, norm_cfg=dict(type='GN', num_groups=4), **FRELU)
    norms = {type(layer) for layer in model.modules() if 'Norm' in type(layer).__name__}
    assert norms == {nn.GroupNorm}


def strides_of(model):
    size = 128
    with torch.no_grad():
        return [size // out.shape[-1] for out in model.eval()(torch.rand(1, 3, size, size))]


def test_strides():
    """What detectors count on, and what segmentors make of it."""
    assert strides_of(MobileNetV1(0.25)) == [4, 8, 16, 32]
    d8 = dict(strides=(1, 2, 2, 1, 1), dilations=(1, 1, 1, 2, 4))
    assert strides_of(MobileNetV1(0.25, **d8)) == [4, 8, 8, 8]
    assert strides_of(MobileNetV2(0.25)) == [4, 8, 16, 32]
    for arch in ('small', 'large'):
        assert strides_of(MobileNetV3(arch, act_cfg=None)) == [4, 8, 16, 32]
        assert strides_of(MobileNetV3(arch, act_cfg=None, output_stride=16)) == [4, 8, 16, 16]
        assert strides_of(MobileNetV3(arch, act_cfg=None, output_stride=8)) == [4, 8, 8, 8]


def test_every_block_of_a_dilated_stage_is_dilated_in_v1_and_windows_are_not():
    model = MobileNetV1(0.25, strides=(1, 2, 2, 1, 1), dilations=(1, 1, 1, 2, 4))
    dilations = [block.depthwise_conv.conv.dilation for block in model.layer4]
    assert dilations == [(2, 2)] * 6
    assert model.layer4[3].act1.conv.dilation == (1, 1)


def test_dynamic_relu_is_as_wide_as_its_site():
    model = small(MobileNetV2, act_cfg=dict(type='DyReLUB'))
    acts = [layer for layer in model.modules() if isinstance(layer, DynamicReLU)]
    assert [act.num_channels for act in acts[:3]] == [8, 48, 48]


@pytest.mark.parametrize(
    ('network', 'options', 'message'),
    [
        (MobileNetV1, dict(act_sites='act3'), "SeparableBlock has no site 'act3'"),
        (MobileNetV1, dict(act_stages=(5,)), r'5 is not a stage.*num_stages=5'),
        (MobileNetV1, dict(out_indices=(5,)), r'must lie in 0\.\.4'),
        (MobileNetV1, dict(strides=(1, 2)), r'strides=\(1, 2\) must have one entry for each of 5'),
        (MobileNetV2, dict(dilations=(1,) * 8), 'dilations=.* one entry for each of 7 stages'),
        (MobileNetV2, dict(out_indices=(8,)), r'must lie in 0\.\.7'),
        (MobileNetV2, dict(frozen_stages=9), r'frozen_stages must lie in -1\.\.8; got 9'),
        (MobileNetV2, dict(act_last='no'), "act_last must be True or False; got 'no'"),
        (MobileNetV2, dict(norm_eval=1), 'norm_eval must be True or False; got 1'),
        (MobileNetV3, dict(arch='tiny'), r"no arch 'tiny'; use one of \('small', 'large'\)"),
        (MobileNetV3, dict(output_stride=4), 'output_stride must be 8, 16 or 32; got 4'),
        (MobileNetV3, dict(with_se='no'), "with_se must be True or False; got 'no'"),
    ],
)
def test_wrong_options_are_named(network, options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)


@pytest.mark.parametrize('factor', [0, -1.0, '1'])
@pytest.mark.parametrize('kind', ['MobileNetV1', 'MobileNetV2'])
def test_a_factor_that_is_no_positive_number_is_refused(kind, factor):
    with pytest.raises(ValueError, match='widen_factor must be a positive number'):
        MODELS.build(dict(type=f'mm_frelu.{kind}', widen_factor=factor))
