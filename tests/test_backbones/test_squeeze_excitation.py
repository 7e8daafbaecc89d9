"""Squeeze-and-excitation: formula, place in the block, parameters."""

import numpy as np
import pytest
import torch

from mm_frelu import ResNet
from mm_frelu.backbones import SqueezeExcitation

PLUGINS = [dict(cfg=dict(type='mm_frelu.SqueezeExcitation'), position='after_conv3')]


def test_formula_written_out():
    torch.manual_seed(0)
    layer, x = SqueezeExcitation(8, reduction=4), torch.randn(2, 8, 5, 7)
    weights = {key: value.detach().numpy() for key, value in layer.named_parameters()}
    for sample, output in zip(x.numpy(), layer(x).detach().numpy()):
        hidden = weights['fc1.weight'][:, :, 0, 0] @ sample.mean((1, 2)) + weights['fc1.bias']
        logits = weights['fc2.weight'][:, :, 0, 0] @ hidden.clip(0) + weights['fc2.bias']
        scale = 1 / (1 + np.exp(-logits))
        np.testing.assert_allclose(output, sample * scale[:, None, None], rtol=1e-5, atol=1e-6)


def test_stands_before_the_addition():
    block = ResNet(50, base_channels=16, plugins=PLUGINS, zero_init_residual=False).layer1[1].eval()
    x = torch.randn(2, 64, 8, 8)
    inner = block.act2(block.bn2(block.conv2(block.act1(block.bn1(block.conv1(x))))))
    expected = block.act3(block.se(block.bn3(block.conv3(inner))) + x)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize('reduction', [16, 32])
def test_parameters_of_resnet_50(reduction):
    """Two linear layers with biases in each of 16 blocks, on the output channels of the block."""
    plugins = [dict(PLUGINS[0], cfg=dict(type='mm_frelu.SqueezeExcitation', reduction=reduction))]
    with torch.device('meta'):
        plain, with_se = ResNet(50), ResNet(50, plugins=plugins)
    expected = sum(
        blocks * (2 * width * (width // reduction) + width + width // reduction)
        for blocks, width in ((3, 256), (4, 512), (6, 1024), (3, 2048))
    )
    count = [sum(value.numel() for value in model.parameters()) for model in (plain, with_se)]
    assert count[1] - count[0] == expected
    assert expected == {16: 2_530_992, 32: 1_273_048}[reduction]


@pytest.mark.parametrize('reduction', [0, 9, 1.5])
def test_wrong_reduction(reduction):
    with pytest.raises(ValueError, match='reduction must be an integer from 1 to in_channels=8'):
        SqueezeExcitation(8, reduction=reduction)
