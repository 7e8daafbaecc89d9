"""ResNet with DY-ReLU: the identity start is the ReLU network, placements, freezing, checkpointing."""

import pytest
import torch
from torch import nn

from mm_frelu import DyReLUB, ResNet
from mm_frelu.activations import DynamicReLU

IDENTITY = [
    dict(type='DyReLUA', init='identity'),
    dict(type='DyReLUB', init='identity'),
    dict(type='DyReLUB', init='identity', num_pieces=3, gate='hard_sigmoid', reduction=4),
    dict(type='DyReLUC', init='identity', attention_mean=1.0),
]
OPTIONS = dict(base_channels=8, act_stages=(0, 1, 2, 3), act_stem=True)


def dynamic_and_relu(act_cfg, **options):
    """A network with ``act_cfg`` everywhere and one with ReLU, of the same other weights, started by their init_cfg."""
    torch.manual_seed(0)
    dynamic = ResNet(act_cfg=act_cfg, **OPTIONS, **options)
    dynamic.init_weights()
    relu = ResNet(act_cfg=dict(type='ReLU'), **OPTIONS, **options)
    missing, unexpected = relu.load_state_dict(dynamic.state_dict(), strict=False)
    assert missing == []
    assert all('.fc' in name or '.spatial.' in name for name in unexpected)
    return dynamic, relu


@pytest.mark.parametrize('act_cfg', IDENTITY)
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('depth', [18, 50])
def test_identity_start_is_the_relu_network(act_cfg, training, depth):
    """Outputs bit for bit; with A and B the gradients of all other weights too, and batch statistics."""
    models = dynamic_and_relu(act_cfg, depth=depth)
    x = torch.randn(2, 3, 64, 64)
    features = [model.train(training)(x) for model in models]
    for actual, expected in zip(*features):
        assert torch.equal(actual, expected)
    dynamic, relu = models
    for name, expected in relu.named_buffers():
        assert torch.equal(dynamic.get_buffer(name), expected), name
    if act_cfg['type'] == 'DyReLUC':
        return  # its attention learns from the first step on
    for outs in features:
        sum(out.square().mean() for out in outs).backward()
    for name, expected in relu.named_parameters():
        assert torch.equal(dynamic.get_parameter(name).grad, expected.grad), name


@pytest.mark.parametrize('name', ['DyReLUA', 'DyReLUB', 'DyReLUC'])
@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize('options', [{}, dict(act_sites='partial'), dict(act_stages=(3,)), OPTIONS])
def test_every_placement_learns(name, depth, options):
    model = ResNet(**{'depth': depth, 'base_channels': 8, **options, 'act_cfg': dict(type=name)})
    model(torch.randn(2, 3, 64, 64))[-1].square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    acts = [layer for layer in model.modules() if isinstance(layer, DynamicReLU)]
    assert acts
    assert all(type(act).__name__ == name and act.fc2.bias.grad.any() for act in acts)


def test_each_site_has_its_width_and_its_module():
    model = ResNet(50, base_channels=8, act_cfg=dict(type='DyReLUB', reduction=4))
    acts = [layer for layer in model.modules() if isinstance(layer, DyReLUB)]
    assert len(acts) == 3 * (3 + 4 + 6)
    assert [act.num_channels for act in acts[:3]] == [8, 8, 32]
    assert isinstance(model.layer4[0].act1, nn.ReLU)


@pytest.mark.parametrize('init', ['paper', 'identity'])
def test_frozen_untrained_activations_warn(init, monkeypatch):
    said = []
    monkeypatch.setattr(
        'mm_frelu.backbones.freezing.print_log', lambda text, **_: said.append(text)
    )
    act_cfg = dict(type='DyReLUB', init=init)
    trained = ResNet(18, base_channels=8, act_cfg=act_cfg, norm_eval=True).train()
    assert said == []
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    trained(torch.randn(2, 3, 64, 64))[-1].square().mean().backward()
    optimizer.step()

    model = ResNet(18, base_channels=8, act_cfg=act_cfg, frozen_stages=1).train()
    assert len(said) == 1
    assert said[0].startswith('4 untrained activations (layer1.0.act1, layer1.0.act2,')
    assert 'frozen as initialised' in said[0]
    assert not any(parameter.requires_grad for parameter in model.layer1.parameters())

    model = ResNet(18, base_channels=8, act_cfg=act_cfg, frozen_stages=1)
    model.load_state_dict(trained.state_dict())
    model.train()
    assert len(said) == 1


@pytest.mark.parametrize('name', ['DyReLUA', 'DyReLUB', 'DyReLUC'])
def test_checkpointing_changes_nothing(name):
    torch.manual_seed(0)
    models = [
        ResNet(18, base_channels=8, act_cfg=dict(type=name), with_cp=with_cp)
        for with_cp in (False, True)
    ]
    models[1].load_state_dict(models[0].state_dict())
    x = torch.randn(2, 3, 64, 64)
    for model in models:
        sum(out.square().mean() for out in model(x)).backward()
    for (key, expected), actual in zip(models[0].named_parameters(), models[1].parameters()):
        torch.testing.assert_close(actual.grad, expected.grad, msg=key)
