"""Where activations are found, and with how many channels."""

import pytest
import torch
import torch.nn.functional as F
from small_networks import Block, Net
from torch import nn

from mm_frelu.replacement.sites import find_sites
from mm_frelu.replacement.tracing import trace


def sites_of(model):
    seen = trace(model)
    return {site.name: site for site in find_sites(seen)}, seen


def test_a_shared_module_has_one_site_for_each_place():
    sites, seen = sites_of(Net())
    assert seen.failures == []
    assert {name: (site.channels, site.calls) for name, site in sites.items()} == {
        'backbone.1': (8, 1),
        'backbone.2.relu.act1': (4, 1),
        'backbone.2.relu.act2': (4, 1),
        'backbone.2.relu.act3': (8, 1),
        'backbone.3.relu.act1': (4, 1),
        'backbone.3.relu.act2': (4, 1),
        'backbone.3.relu.act3': (8, 1),
        'head.activate': (6, 2),  # two levels, one site
    }


def test_sites_of_mmdet_resnet_are_those_of_its_definition():
    from mmdet.models.backbones.resnet import ResNet

    sites, _ = sites_of(ResNet(50, base_channels=4, stem_channels=4, frozen_stages=1))
    expected = {'relu': 4}
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            for number, factor in ((1, 1), (2, 1), (3, 4)):
                name = f'layer{stage + 1}.{block}.relu.act{number}'
                expected[name] = 4 * 2**stage * factor
    assert {name: site.channels for name, site in sites.items()} == expected
    frozen = {name for name, site in sites.items() if site.frozen}
    assert frozen == {name for name in expected if name == 'relu' or name.startswith('layer1')}


class Awkward(nn.Module):
    """Tokens, channels last, a gate, a pooled map, a function, the same layer twice in a row, one that is never called."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)
        self.tokens, self.last, self.pooled = nn.GELU(), nn.GELU(), nn.ReLU()
        self.gate, self.unused, self.twice = nn.Sigmoid(), nn.ReLU(), nn.ReLU()
        self.drop = nn.Dropout2d()
        self.conv2 = nn.Conv2d(6, 6, 1)

    def forward(self, x):
        x = self.conv(x)
        x = self.twice(x) - self.twice(-x)
        x = x + self.tokens(x.flatten(2).transpose(1, 2)).mean()
        x = x + self.last(x.permute(0, 2, 3, 1)).mean()
        x = x * self.gate(self.pooled(x.mean(dim=(2, 3), keepdim=True)))
        return F.relu(self.conv2(self.drop(x)))


def test_what_is_no_map_of_channels_is_told():
    sites, seen = sites_of(Awkward())
    assert set(sites) == {'tokens', 'last', 'pooled', 'unused', 'twice.act1', 'twice.act2'}
    assert not sites['tokens'].is_map
    assert sites['last'].is_map
    assert sites['last'].channels is None  # its second dimension is the height
    assert sites['pooled'].is_point
    assert sites['unused'].calls == 0
    assert [sites[f'twice.act{number}'].channels for number in (1, 2)] == [6, 6]
    assert dict(seen.functional) == {('', 'relu'): 1}


class TrainOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.relu = nn.Conv2d(3, 4, 1), nn.ReLU()
        self.auxiliary = nn.Sequential(nn.Conv2d(4, 5, 1), nn.ReLU())

    def forward(self, x):
        x = self.relu(self.body(x))
        return (x, self.auxiliary(x)) if self.training else x


def test_branches_of_training_are_found():
    assert sites_of(TrainOnly())[0]['auxiliary.1'].channels == 5


class Stops(TrainOnly):
    def forward(self, x):
        self.relu(self.body(x))
        raise RuntimeError('needs something else than images')


def test_behind_a_failure_channels_are_those_of_the_layer_in_front():
    sites, seen = sites_of(Stops())
    assert sites['relu'].channels == 4
    assert (sites['auxiliary.1'].channels, sites['auxiliary.1'].calls) == (5, 0)
    assert len(seen.failures) == 2
    assert 'needs something else than images' in seen.failures[0]


@pytest.mark.parametrize('training', [True, False])
def test_looking_changes_nothing(training):
    model = Net().train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    state = torch.get_rng_state()
    trace(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    assert all(module.training is training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_an_activation_in_two_places_is_two_sites():
    shared = nn.ReLU()
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 1), shared), nn.Sequential(nn.Conv2d(4, 5, 1), shared)
    )
    sites, _ = sites_of(model)
    assert {name: site.channels for name, site in sites.items()} == {'0.1': 4, '1.1': 5}


def test_a_shared_dropout_between_does_not_hide_a_site():
    class Dropping(Block):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.1)

        def inner(self, x):
            out = self.relu(self.drop(self.bn1(self.conv1(x))))
            out = self.relu(self.drop(self.bn2(self.conv2(out))))
            return self.bn3(self.conv3(out)) + x

    sites, _ = sites_of(nn.Sequential(nn.Conv2d(3, 8, 1), Dropping()))
    assert [site.channels for site in sites.values()] == [4, 4, 8]
