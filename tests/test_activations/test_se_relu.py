"""SEReLU equals ReLU times a squeeze-and-excitation, and works in compiled and exported models."""

import pytest
import torch
from mmcv.cnn import ConvModule

from mm_frelu import build_activation
from mm_frelu.activations import SEReLU
from mm_frelu.backbones import SqueezeExcitation


def features(channels=8):
    return torch.randn(2, channels, 5, 7, dtype=torch.float64)


def test_output_matches_the_formula():
    layer, x = SEReLU(8, reduction=4).double(), features()
    torch.nn.init.normal_(layer.fc1.bias)
    rectified = x.clamp(min=0)
    hidden = (rectified.mean((2, 3)) @ layer.fc1.weight.T + layer.fc1.bias).clamp(min=0)
    scales = 1 / (1 + torch.exp(-(hidden @ layer.fc2.weight.T + layer.fc2.bias)))
    torch.testing.assert_close(layer(x), rectified * scales[:, :, None, None])


def test_output_equals_the_plugin_after_relu():
    layer, x = SEReLU(8, reduction=4).double(), features()
    plugin = SqueezeExcitation(8, reduction=4).double()
    for name in ('fc1', 'fc2'):
        source, target = getattr(layer, name), getattr(plugin, name)
        target.weight.data = source.weight.data[..., None, None]
        target.bias.data = source.bias.data
    torch.testing.assert_close(layer(x), plugin(torch.relu(x)))


def test_parameters_and_initialisation():
    layer = SEReLU(64)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 2 * 64 * 4 + 4 + 64
    assert SEReLU(4).fc1.out_features == 1
    assert layer.is_untrained()
    assert layer.can_learn()
    layer.fc2.bias.data += 1
    assert not layer.is_untrained()
    layer.init_weights()
    assert layer.is_untrained()
    assert not layer.requires_grad_(False).can_learn()


def test_gradcheck_compile_and_export():
    torch.manual_seed(0)
    layer, x = SEReLU(4, reduction=2).double(), features(4).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]

    def forward(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters)), (x,))

    assert torch.autograd.gradcheck(forward, (x, *layer.parameters()))
    x = x.detach()
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))
    compiled = torch.compile(layer, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))


def test_in_a_conv_module():
    module = ConvModule(3, 8, 3, act_cfg=dict(type='SEReLU', num_channels=8))
    x = torch.randn(2, 3, 6, 7)
    assert torch.equal(module(x), module.activate(module.conv(x)))


def test_invalid_options():
    with pytest.raises(ValueError, match='SEReLU: reduction must be a positive integer'):
        SEReLU(8, reduction=0)
    with pytest.raises(TypeError, match='SEReLU needs the number of channels'):
        SEReLU()
    with pytest.raises(ValueError, match='SEReLU was built for 8 channels'):
        SEReLU(8)(torch.rand(1, 5, 3, 3))
    with pytest.raises(ValueError, match='this activation does not take init'):
        build_activation(dict(type='SEReLU', init='identity'), 8)
