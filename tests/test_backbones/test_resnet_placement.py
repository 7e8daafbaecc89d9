"""Which sites of ResNet get the activation, and what that adds."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mm_frelu import FReLU, ResNet, ResNetV1c, ResNetV1d


def windows(model):
    return [name for name, layer in model.named_modules() if isinstance(layer, FReLU)]


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_official_resnet50():
    """39 windows in 13 blocks of layer1 to layer3; 161,280 parameters with window biases, 147,840 without."""
    model = ResNet(50)
    names = windows(model)
    blocks = {name.rpartition('.')[0] for name in names}
    assert len(names) == 39
    assert len(blocks) == 13
    assert {name.split('.')[0] for name in names} == {'layer1', 'layer2', 'layer3'}
    relu = parameters(ResNet(50, act_cfg=dict(type='ReLU')))
    assert parameters(model) - relu == 161_280
    assert parameters(ResNet(50, act_cfg=dict(type='FReLU', bias=False))) - relu == 147_840
    others = [name for name, layer in model.named_modules() if isinstance(layer, nn.ReLU)]
    assert others == ['act1'] + [f'layer4.{b}.act{s}' for b in range(3) for s in (1, 2, 3)]


@pytest.mark.parametrize(
    ('depth', 'count'), [(10, 6), (18, 12), (34, 26), (50, 39), (101, 90), (152, 141)]
)
def test_default_counts(depth, count):
    assert len(windows(ResNet(depth, base_channels=8))) == count


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (
            dict(act_sites='partial', act_stages=(0,)),
            ['layer1.0.act2', 'layer1.1.act2', 'layer1.2.act2'],
        ),
        (dict(act_sites=('act1', 'act3'), act_stages=(3,), num_stages=4), None),
        (dict(act_sites='act3', act_stages=[1]), [f'layer2.{b}.act3' for b in range(4)]),
        (dict(act_stages=(), act_stem=True), ['act1']),
        (dict(act_stages=(), act_stem=True, deep_stem=True), ['stem.2', 'stem.5', 'stem.8']),
        (dict(act_stages=()), []),
    ],
)
def test_placement_words(options, expected):
    if expected is None:
        expected = [f'layer4.{b}.{site}' for b in range(3) for site in ('act1', 'act3')]
    assert windows(ResNet(50, base_channels=8, **options)) == expected


def test_partial_of_a_basic_block_is_after_the_first_convolution():
    names = windows(ResNet(18, base_channels=8, act_sites='partial'))
    assert len(names) == 6
    assert all(name.endswith('.act1') for name in names)


def test_any_activation_anywhere():
    model = ResNet(
        50, base_channels=8, act_cfg=dict(type='LightFReLU'), base_act_cfg=dict(type='PReLU')
    )
    slopes = [layer for layer in model.modules() if isinstance(layer, nn.PReLU)]
    assert [slope.num_parameters for slope in slopes] == [8] + [64, 64, 256] * 3
    model(torch.randn(1, 3, 64, 64))[-1].sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize('name', ['ReLU', 'SiLU', 'PReLU', 'GELU', 'FReLU', 'LightFReLU'])
@pytest.mark.parametrize('model_class', [ResNet, ResNetV1c, ResNetV1d])
def test_every_parameter_learns(name, model_class):
    model = model_class(depth=50, base_channels=8, act_cfg=dict(type=name), act_stages=(0, 1, 2, 3))
    model(torch.randn(2, 3, 64, 64))[-1].square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg'])
def test_builds_by_type_under_every_scope(scope):
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(dict(type='mm_frelu.ResNet', depth=18, base_channels=8))
    assert isinstance(model, ResNet)


def test_windows_follow_norm_cfg():
    norm_cfg = dict(type='GN', num_groups=4)
    model = ResNet(50, base_channels=8, norm_cfg=norm_cfg)
    assert isinstance(model.layer1[0].act1.norm, nn.GroupNorm)
    model = ResNet(
        50, base_channels=8, norm_cfg=norm_cfg, act_cfg=dict(type='FReLU', norm_cfg=dict(type='BN'))
    )
    assert isinstance(model.layer1[0].act1.norm, nn.BatchNorm2d)


def test_windows_stay_undilated():
    model = ResNet(50, base_channels=8, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
    assert model.layer3[1].conv2.dilation == (2, 2)
    assert model.layer3[1].act2.conv.dilation == (1, 1)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(depth=42), r'no depth 42; use one of \(10, 18, 34, 50, 101, 152\)'),
        (
            dict(act_stages=(0, 4)),
            r'act_stages=\(0, 4\): 4 is not a stage.*num_stages=4, counted from 0',
        ),
        (dict(act_stages=(-1,)), 'act_stages.*-1 is not a stage'),
        (dict(act_sites='act4'), "Bottleneck has no site 'act4'.*'all', 'partial'"),
        (dict(act_sites=('act1', 'conv1')), "no site 'conv1'"),
        (dict(depth=18, act_sites=('act3',)), "BasicBlock has no site 'act3'"),
        (dict(style='tensorflow'), "style must be 'pytorch' or 'caffe'"),
        (dict(frozen_stages=5), r'frozen_stages must lie in -1\.\.4; got 5'),
        (dict(out_indices=(4,)), r'out_indices=\(4,\) must lie in 0\.\.3'),
        (dict(strides=(1, 2)), 'strides=.* one entry for each of 4 stages'),
        (dict(act_stages=None), 'act_stages=None: None is not a stage'),
        (dict(act_stages='all'), "act_stages='all': 'all' is not a stage"),
        (dict(act_sites=None), "no site None. Use 'all', 'partial'"),
        (dict(act_stem='no'), "act_stem must be True or False; got 'no'"),
        (dict(act_norm_eval='False'), "act_norm_eval must be True or False; got 'False'"),
        (
            dict(dcn=dict(type='DCN'), stage_with_dcn=(True,)),
            r'stage_with_dcn=\(True,\) must have one entry for each of 4 stages',
        ),
        (dict(multi_grid=(1, 2)), 'multi_grid=.* each of the 3 blocks'),
        (dict(act_cfg=dict(type='FRelu')), "Unknown activation 'FRelu'. Did you mean 'FReLU'"),
        (dict(act_cfg=dict(type='FReLU', kernel_size=2)), 'kernel_size must be odd'),
        (
            dict(pretrained='x', init_cfg=dict(type='Kaiming')),
            'init_cfg and pretrained both define',
        ),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        ResNet(**{'depth': 50, 'base_channels': 8, **options})
