"""Receptive fields and channels, against what is known for one convolution, and counted by loops."""

import pytest
import torch
from torch import nn

from mm_frelu.engine import UserError
from mm_frelu.inspection.features import features_at, most_different, side_that_holds
from mm_frelu.inspection.layers import choose_layers, find_layer, last_of_stages, stage_of


def test_the_gradient_is_where_the_layer_looks():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, 2, 3, padding=1))
    for layer in net:
        nn.init.constant_(layer.weight, 0.5)
    image = torch.randn(1, 3, 20, 24)
    features = features_at(net[0], '0', image, net, (9.0, 12.0))
    assert features.position == (4, 6)
    torch.testing.assert_close(features.maps, net[0](image)[0].detach())
    expected = torch.zeros(20, 24)
    expected[7:10, 11:14] = 3 * 4 * 0.5  # colours, channels, weight
    torch.testing.assert_close(features.gradient, expected)
    assert not image.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())


def test_what_runs_not_and_what_is_no_map():
    net, image = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), torch.randn(1, 3, 8, 8)
    with pytest.raises(UserError, match='aux does not run'):
        features_at(nn.Identity(), 'aux', image, net, (0, 0))
    with pytest.raises(UserError, match='The output of .*1 is not a feature map'):
        features_at(net[1], '1', image, net, (0, 0))


@pytest.mark.parametrize('share', [0.1, 0.5, 0.95, 1.0])
def test_the_square_that_holds_a_share(share):
    torch.manual_seed(0)
    gradient, (row, column) = torch.rand(9, 14), (3, 11)
    for side in range(1, 31, 2):
        reach = side // 2
        top, left = max(row - reach, 0), max(column - reach, 0)
        held = gradient[top : row + reach + 1, left : column + reach + 1].sum()
        if held >= share * gradient.sum() * (1 - 1e-6):
            break
    assert side_that_holds(gradient, (row + 0.5, column + 0.5), share) == side
    assert side_that_holds(torch.zeros(4, 4), (1, 1), share) == 0


def test_most_different_channels():
    assert most_different(torch.tensor([0.0, 1, 2, 3]), torch.tensor([0.0, 5, 1]), 2) == [1, 2]


def test_names_of_layers():
    names = ['backbone.layer1.0.act1', 'backbone.layer1.0.act2', 'backbone.layer2.0.act1']
    assert choose_layers(names, ['*.act1']) == [names[0], names[2]]
    with pytest.raises(
        UserError, match=r'--layers backbone.layer1.0.act9: .*backbone.layer1.0.act'
    ):
        choose_layers(names, ['backbone.layer1.0.act9'])
    with pytest.raises(UserError, match='is not an activation that the tool supports'):
        choose_layers(names, ['neck'], others=['neck'])
    with pytest.raises(UserError, match=r'--layer 00: the model has no such layer. .* 0'):
        find_layer(nn.Sequential(nn.ReLU()), '00', 'the model')
    assert stage_of(names[0]) == 'backbone.layer1'
    assert stage_of('backbone.stages.2.blocks.1.act') == 'backbone.stages.2'
    assert stage_of('act') == 'act'
    sizes = {names[0]: (8, 8), names[1]: (4, 4), names[2]: (4, 4)}
    assert last_of_stages(names, sizes) == names
    assert last_of_stages(names, dict.fromkeys(names, (8, 8))) == names[1:]
