"""Maxout equals the maximum of K linear maps, and works in compiled, exported and fused models."""

import pytest
import torch
from mmcv.cnn import ConvModule
from mmcv.cnn.utils.fuse_conv_bn import fuse_conv_bn
from torch import nn

from mm_frelu import (
    MobileNetV1,
    MobileNetV2,
    MobileNetV3,
    ResNet,
    build_activation,
    replace_activations,
)
from mm_frelu.activations import Maxout
from mm_frelu.analysis.complexity import count_macs


def build(num_channels=4, **options):
    layer = Maxout(num_channels, **options).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def features(channels=4):
    return torch.randn(2, channels, 5, 7, dtype=torch.float64)


@pytest.mark.parametrize('num_maps', [2, 3])
def test_own_maps_match_the_formula(num_maps):
    layer, x = build(num_maps=num_maps), features()
    weights = layer.linear.weight.reshape(num_maps - 1, 4, 4)
    biases = layer.linear.bias.reshape(num_maps - 1, 4)
    maps = torch.einsum('koc,nchw->nkohw', weights, x) + biases[:, :, None, None]
    expected = torch.cat([x[:, None], maps], dim=1).amax(1)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize('num_maps', [2, 3])
def test_maps_of_a_wide_convolution_match_k_convolutions(num_maps):
    """Compare with K depthwise convolutions: adjacent output channels of the wide one have the same input channel."""
    wide = nn.Conv2d(4, num_maps * 4, 3, padding=1, groups=4).double()
    x, outputs = features(), []
    for k in range(num_maps):
        conv = nn.Conv2d(4, 4, 3, padding=1, groups=4).double()
        conv.weight.data, conv.bias.data = wide.weight[k::num_maps], wide.bias[k::num_maps]
        outputs.append(conv(x))
    layer = Maxout(4, num_maps, maps='conv')
    assert not layer.state_dict()
    torch.testing.assert_close(layer(wide(x)), torch.stack(outputs).amax(0))


@pytest.mark.parametrize('num_maps', [2, 4])
def test_parameters_and_multiply_adds(num_maps):
    layer = Maxout(8, num_maps)
    assert sum(parameter.numel() for parameter in layer.parameters()) == (num_maps - 1) * 8 * 9
    macs = count_macs(nn.Sequential(layer), lambda model: model(torch.rand(1, 8, 5, 7)))
    assert sum(macs.values()) == (num_maps - 1) * 8 * 8 * 5 * 7


def test_identity_initialisation_is_relu_and_learns():
    layer, x = Maxout(4, 3, init='identity'), features().float()
    assert torch.equal(layer(x), torch.relu(x))
    assert layer.is_untrained()
    layer(x).square().sum().backward()
    layer(x).sum().backward()
    assert layer.linear.weight.grad.abs().sum() > 0
    layer.linear.bias.data += 1
    assert not layer.is_untrained()


def test_paper_initialisation_keeps_the_mean_square():
    torch.manual_seed(0)
    x = torch.randn(8, 256, 16, 16)
    assert Maxout(256)(x).square().mean().item() == pytest.approx(1, rel=0.02)


def test_initialisation_overrides_the_init_cfg_of_a_network():
    network = ResNet(18, base_channels=8, act_cfg=dict(type='Maxout', init='identity'))
    network.init_weights()
    layers = [module for module in network.modules() if isinstance(module, Maxout)]
    assert len(layers) == 12
    assert all(not layer.linear.weight.any() for layer in layers)


@pytest.mark.parametrize('options', [dict(), dict(num_maps=3), dict(maps='conv')])
def test_gradcheck(options):
    torch.manual_seed(0)
    layer = build(2, **options)
    names = [name for name, _ in layer.named_parameters()]
    x = features(4 if 'maps' in options else 2).requires_grad_()

    def forward(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters)), (x,))

    assert torch.autograd.gradcheck(forward, (x, *layer.parameters()))


@pytest.mark.parametrize('options', [dict(num_maps=3), dict(maps='conv')])
def test_compile_and_export(options):
    layer = build(**options)
    x = features(8 if 'maps' in options else 4)
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(exported(x), layer(x))
    compiled = torch.compile(layer, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))


def test_fusing_norms_does_not_change_it():
    act_cfg = dict(type='Maxout', num_channels=4)
    model = nn.Sequential(ConvModule(3, 4, 3, norm_cfg=dict(type='BN'), act_cfg=act_cfg))
    model[0].norm.running_mean += 1
    x = torch.randn(2, 3, 6, 7)
    before = model.eval()(x)
    torch.testing.assert_close(fuse_conv_bn(model)(x), before)


def test_replaces_relu_in_any_model():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 1))
    x = torch.rand(1, 3, 16, 16)
    before = model(x)
    replaced = replace_activations(model, dict(type='Maxout'), run=lambda model: model(x))
    layers = [module for module in model.modules() if isinstance(module, Maxout)]
    assert [layer.num_channels for layer in layers] == [6]
    assert layers[0].init == 'identity', replaced
    torch.testing.assert_close(model(x), before)


@pytest.mark.parametrize(
    'network',
    [
        lambda **options: MobileNetV1(0.25, out_indices=(4,), **options),
        lambda **options: MobileNetV2(0.35, out_indices=(7,), act_last=True, **options),
        lambda **options: MobileNetV3('small', out_indices=(12,), act_last=True, **options),
    ],
    ids=['v1', 'v2', 'v3'],
)
def test_mobilenets_widen_the_convolution_before_it(network):
    """This includes the stem and the last site. The output and the layers after a site keep their number of channels."""
    act_cfg = dict(type='Maxout', num_maps=3, maps='conv')
    model = network(act_cfg=act_cfg, act_stem=True)
    plain = network(act_cfg=dict(type='ReLU'), act_stem=True)
    x = torch.rand(2, 3, 64, 64)
    assert model(x)[-1].shape == plain(x)[-1].shape
    sites = {name: layer for name, layer in model.named_modules() if isinstance(layer, Maxout)}
    # The squeeze-and-excitation of MobileNetV3 has its own ReLU.
    assert set(sites) == {
        name
        for name, layer in plain.named_modules()
        if type(layer) is nn.ReLU and '.se.' not in name
    }
    outputs = [
        [conv.out_channels for conv in net.modules() if isinstance(conv, nn.Conv2d)]
        for net in (model, plain)
    ]
    widened = [new for new, old in zip(*outputs) if new != old]
    assert sorted(widened) == sorted(3 * layer.num_channels for layer in sites.values())


def test_other_backbones_refuse_maps_of_the_convolution():
    network = ResNet(18, base_channels=8, act_cfg=dict(type='Maxout', maps='conv'))
    with pytest.raises(
        ValueError, match="maps='conv', .* must have 16 output channels .*maps='own'"
    ):
        network(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_maps=1), 'num_maps=1 is a linear map. Use num_maps=2'),
        (dict(num_maps=2.0), 'num_maps must be a positive integer'),
        (dict(num_maps=True), 'num_maps must be a positive integer'),
        (dict(maps='wide'), 'maps must be one of own, conv'),
        (dict(init='zero'), 'init must be one of paper, identity'),
        (
            dict(maps='conv', init='identity'),
            "does not work with maps='conv', whose maps are the weights",
        ),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(ValueError, match=message):
        Maxout(4, **options)


def test_channels_are_required_and_checked():
    with pytest.raises(TypeError, match='Maxout needs the number of channels'):
        Maxout()
    with pytest.raises(ValueError, match='Maxout was built for 4 channels'):
        Maxout(4)(torch.rand(1, 5, 3, 3))
    assert build_activation(dict(type='Maxout'), 6, inplace=True).num_channels == 6
