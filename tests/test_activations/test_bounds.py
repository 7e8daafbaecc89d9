"""Gradients exactly at a bound, which torch changed: that of ``clamp`` was 1 up to 2.13 and is 0 from 2.14 on.

Values are written out, so that they hold with any torch. A layer that starts on a bound could not learn with a gradient of 0.
"""

import pytest
import torch
from dy_relu_samples import image
from torch import nn

from mm_frelu import DyReLUA, DyReLUB, DyReLUC, FReLU, LightFReLU
from mm_frelu.activations.dynamic_relu import bounded, hard_sigmoid
from mm_frelu.backbones.hard_squeeze_excitation import HardSqueezeExcitation


def gradient(function, *values):
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    function(x).sum().backward()
    return x.grad.tolist()


def test_bounded():
    assert gradient(lambda x: bounded(x, -1.0, 2.0), -1.5, -1, 0, 2, 2.5) == [0, 1, 1, 1, 0]


def test_hard_sigmoid():
    found = gradient(hard_sigmoid, -4, -3, 0, 3, 4)
    assert found == pytest.approx([0, 1 / 6, 1 / 6, 1 / 6, 0])


@pytest.mark.parametrize('layer_class', [DyReLUA, DyReLUB])
@pytest.mark.parametrize(
    ('theta', 'slope'), [(-3.1, 0), (-3, 1 / 3), (0, 1 / 3), (3, 1 / 3), (3.1, 0)]
)
def test_coefficients_of_the_hard_gate(layer_class, theta, slope):
    """a = 1 + 2 hard_sigmoid(theta) - 1, whose slope is 1/3 up to and with the bounds."""
    layer = layer_class(2, num_pieces=1, intercept=False, gate='hard_sigmoid').double()
    nn.init.zeros_(layer.fc2.weight)
    nn.init.constant_(layer.fc2.bias, theta)
    layer.coefficients(image(1, 2, 3, 3, dtype=torch.float64))[0].sum().backward()
    assert layer.fc2.bias.grad.tolist() == pytest.approx([slope] * len(layer.fc2.bias))


@pytest.mark.parametrize('implementation', ['eager', 'recompute'])
def test_attention_learns_from_an_identity_start(implementation):
    """Two positions of one channel: pi = 2 softmax(w x), capped at 1, where it starts.

    Every pi gets its own gradient x, and dpi_0 / dw = (x_0 - x_1) / 2 = -dpi_1 / dw, so that the weight gets
    (x_0 - x_1)^2 / 2.
    """
    layer = DyReLUC(
        1, init='identity', attention_mean=1.0, temperature=1.0, implementation=implementation
    ).double()
    x = torch.tensor([3.0, 1.0], dtype=torch.float64).view(1, 1, 1, 2)
    assert torch.equal(layer.attention(x), torch.ones_like(x))
    layer(x).sum().backward()
    assert layer.spatial.weight.grad.item() == pytest.approx(2.0)


def test_attention_above_its_cap_does_not_learn():
    """With one channel and two positions far apart: 2 softmax is (2, 0) but for rounding, capped at (1, 0)."""
    layer = DyReLUC(1, attention_mean=1.0, temperature=1.0).double()
    nn.init.ones_(layer.spatial.weight)
    logits = torch.tensor([50.0, 0.0], dtype=torch.float64).view(1, 1, 1, 2).requires_grad_()
    attention = layer._attention_of(logits, torch.float64)
    attention[..., 0].sum().backward()
    assert attention[0, 0, 0, 0] == 1
    assert not logits.grad.any()


@pytest.mark.parametrize('implementation', ['eager', 'recompute'])
def test_pieces_learn_from_an_identity_start(implementation):
    """One channel, x = (2, -1): y is x at the first position and 0, the second piece's, at the other."""
    layer = DyReLUB(1, init='identity', implementation=implementation).double()
    x = torch.tensor([2.0, -1.0], dtype=torch.float64).view(1, 1, 1, 2)
    layer(x).sum().backward()
    # a_1, b_1, a_2, b_2, with 2 sigmoid'(0) = 1/2 and the ranges 1 and 1/2.
    assert layer.fc2.bias.grad.tolist() == pytest.approx([1.0, 0.25, -0.5, 0.25])


@pytest.mark.xdist_group('numba')  # the process that compiles the loops in double precision anyway
@pytest.mark.parametrize('layer_class', [FReLU, LightFReLU])
def test_funnels_learn_from_an_identity_start(layer_class):
    """T starts at 0: where x = 0 the maximum is tied, and each side gets half; below, the shift gets all."""
    layer = layer_class(1, init='identity').double()
    x = torch.tensor([0.0, -1.0, 2.0], dtype=torch.float64).view(1, 1, 1, 3).requires_grad_()
    layer(x).sum().backward()
    shifts = [norm.bias.grad.item() for _, norm in layer.windows]
    assert shifts == pytest.approx([1.5] * len(shifts))


def test_squeeze_and_excitation_starts_inside_its_bounds():
    layer = HardSqueezeExcitation(4, 2)
    x = image(2, 4, 5, 5)
    scale = layer.conv2(layer.conv1(x.mean(dim=(2, 3), keepdim=True)))
    assert (scale.abs() < 3).all()
    layer(x).square().sum().backward()
    assert layer.conv2.conv.bias.grad.all()
