"""build_activation fills in what a layer needs to know."""

import pytest
import torch
from torch import nn

from mm_frelu import build_activation


@pytest.mark.parametrize('name', ['FReLU', 'LightFReLU'])
def test_channels_are_filled_in(name):
    assert build_activation(dict(type=name), 24).num_channels == 24


def test_one_word_swaps_the_activation():
    x = torch.randn(2, 24, 6, 7)
    for name in ('ReLU', 'PReLU', 'SiLU', 'GELU', 'HSwish', 'FReLU', 'LightFReLU'):
        assert build_activation(dict(type=name), 24)(x).shape == x.shape


def test_prelu_has_a_slope_per_channel():
    layer = build_activation(dict(type='PReLU'), 24)
    assert layer.weight.shape == (24,)
    assert (layer.weight == 0.25).all()


def test_defaults_go_where_they_are_taken():
    defaults = dict(inplace=True, norm_cfg=dict(type='GN', num_groups=4))
    assert build_activation(dict(type='ReLU'), 24, **defaults).inplace
    assert isinstance(build_activation(dict(type='FReLU'), 24, **defaults).norm, nn.GroupNorm)
    assert isinstance(build_activation(dict(type='Sigmoid'), 24, **defaults), nn.Sigmoid)


def test_the_config_has_the_last_word():
    cfg = dict(type='FReLU', num_channels=8, norm_cfg=None)
    layer = build_activation(cfg, 24, norm_cfg=dict(type='BN'))
    assert layer.num_channels == 8
    assert isinstance(layer.norm, nn.Identity)
    assert cfg == dict(type='FReLU', num_channels=8, norm_cfg=None)


def test_a_class_is_a_type_too():
    assert isinstance(build_activation(dict(type=nn.ReLU), 24), nn.ReLU)


@pytest.mark.parametrize(
    ('wrong', 'right'),
    [('FRelu', 'FReLU'), ('frelu', 'FReLU'), ('LightFRelu', 'LightFReLU'), ('Silu', 'SiLU')],
)
def test_unknown_name_suggests_the_nearest(wrong, right):
    with pytest.raises(ValueError, match=f"Unknown activation '{wrong}'. Did you mean '{right}'"):
        build_activation(dict(type=wrong), 24)


def test_a_key_left_over_from_another_activation_is_named():
    with pytest.raises(
        ValueError, match=r'does not take init. Its arguments are: inplace.*_delete_=True'
    ):
        build_activation(dict(type='ReLU', init='identity'), 24)


def test_not_a_config():
    with pytest.raises(TypeError, match="dict\\(type='FReLU'\\); got 'FReLU'"):
        build_activation('FReLU', 24)
