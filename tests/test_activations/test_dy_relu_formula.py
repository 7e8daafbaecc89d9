"""DY-ReLU A, B and C against the paper's equations in NumPy, and B against mmdet's layer."""

import numpy as np
import pytest
import torch
from dy_relu_samples import LAYERS, image, randomise

from mm_frelu import DyReLUA, DyReLUB, DyReLUC


def numpy_dy_relu(layer, x):
    """The paper's equations, coefficient by coefficient, in float64."""
    weights = {key: value.double().numpy() for key, value in layer.state_dict().items()}
    channels, pieces = x.shape[1], layer.num_pieces
    out = np.empty_like(x)
    for n, features in enumerate(x):
        hidden = weights['fc1.weight'] @ features.mean(axis=(1, 2)) + weights['fc1.bias']
        theta = weights['fc2.weight'] @ np.maximum(hidden, 0) + weights['fc2.bias']
        if layer.gate == 'sigmoid':
            theta = 2 / (1 + np.exp(-theta)) - 1
        else:
            theta = 2 * np.clip(theta / 6 + 0.5, 0, 1) - 1
        kinds = 2 if layer.intercept else 1
        theta = theta.reshape(pieces, kinds, -1) * np.ones((pieces, kinds, channels))
        attention = np.ones(features.shape[1:])
        if isinstance(layer, DyReLUC):
            logits = np.tensordot(weights['spatial.weight'][0, :, 0, 0], features, axes=1)
            exponents = np.exp(logits / layer.temperature)
            softmax = exponents / exponents.sum()
            gamma = layer.attention_mean * softmax.size
            attention = np.minimum(gamma * softmax, 1)
        for c in range(channels):
            values = []
            for k in range(pieces):
                slope = (1 if k == 0 else 0) + layer.lambda_a * theta[k, 0, c]
                intercept = layer.lambda_b * theta[k, 1, c] if layer.intercept else 0
                values.append(attention * slope * features[c] + attention * intercept)
            out[n, c] = np.max(values, axis=0)
    return out


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(num_pieces=3, lambda_a=0.7, lambda_b=1.5),
        dict(num_pieces=1),
        dict(num_pieces=1, intercept=False),
        dict(intercept=False, reduction=4),
        dict(gate='hard_sigmoid', reduction=4),
        dict(reduction=100),
    ],
)
def test_formula_written_out(layer_class, options):
    layer = randomise(layer_class(12, **options).double())
    x = 2 * image(2, 12, 5, 7, dtype=torch.float64)
    expected = torch.from_numpy(numpy_dy_relu(layer, x.numpy()))
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('options', [{}, dict(temperature=0.5), dict(attention_mean=0.8)])
def test_attention_of_c(options):
    """The cap is reached, and scaling every coefficient is what the formula says."""
    layer = randomise(DyReLUC(12, **options).double())
    x = 20 * image(2, 12, 5, 7, dtype=torch.float64)
    attention = layer.attention(x)
    assert attention.shape == (2, 1, 5, 7)
    assert (attention == 1).any()
    assert ((attention > 0) & (attention <= 1)).all()
    assert (attention.mean(dim=(1, 2, 3)) < layer.attention_mean).all()
    expected = torch.from_numpy(numpy_dy_relu(layer, x.numpy()))
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_defaults_are_the_papers():
    layer = DyReLUC(64)
    assert (layer.num_pieces, layer.fc1.out_features, layer.gate) == (2, 8, 'sigmoid')
    assert (layer.lambda_a, layer.lambda_b, layer.temperature) == (1.0, 0.5, 10.0)
    assert layer.attention_mean == pytest.approx(1 / 3)


def test_number_of_coefficients():
    """2K, 2KC and 2KC + HW for an image (figure 2)."""
    assert DyReLUA(16, num_pieces=3).fc2.out_features == 2 * 3
    assert DyReLUB(16, num_pieces=3).fc2.out_features == 2 * 3 * 16
    layer = DyReLUC(16, num_pieces=3)
    assert layer.fc2.out_features == 2 * 3 * 16
    assert layer.attention(image(1, 16, 5, 7)).numel() == 5 * 7
    assert DyReLUB(4).fc1.out_features == 1


def test_equal_to_mmdet():
    """With its options and weights: values, gradients of the input and of the weights."""
    DyReLU = pytest.importorskip('mmdet.models.layers').DyReLU  # noqa: N806
    theirs = DyReLU(16).double()
    ours = DyReLUB(16, reduction=4, gate='hard_sigmoid').double()
    randomise(ours)
    for linear, conv in ((ours.fc1, theirs.conv1.conv), (ours.fc2, theirs.conv2.conv)):
        conv.weight.data = linear.weight.data[:, :, None, None].clone()
        conv.bias.data = linear.bias.data.clone()
    inputs = [2 * image(2, 16, 9, 11, dtype=torch.float64) for _ in range(2)]
    outs = []
    for layer, x in zip((ours, theirs), inputs):
        outs.append(layer(x.requires_grad_()))
        outs[-1].square().sum().backward()
    torch.testing.assert_close(*outs)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for linear, conv in ((ours.fc1, theirs.conv1.conv), (ours.fc2, theirs.conv2.conv)):
        torch.testing.assert_close(linear.weight.grad, conv.weight.grad[:, :, 0, 0])
        torch.testing.assert_close(linear.bias.grad, conv.bias.grad)


def test_ranges_of_the_coefficients():
    """a1 in [0, 2], a2 in [-1, 1], b in [-0.5, 0.5], reached by saturated gates."""
    layer = DyReLUB(8)
    layer.fc2.weight.data.zero_()
    for sign in (1, -1):
        layer.fc2.bias.data.fill_(sign * 100.0)
        slopes, intercepts = layer.coefficients(image(1, 8, 5, 5))
        assert (slopes[0] == 1 + sign).all()
        assert (slopes[1] == sign).all()
        assert (intercepts == 0.5 * sign).all()
