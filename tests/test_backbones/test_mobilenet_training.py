"""Start, freezing, checkpointing, loading and folding of the MobileNets."""

import copy

import pytest
import torch
from mobile_networks import NETWORKS, SMALL, randomise, small
from torch import nn

from mm_frelu import FReLU, MobileNetV1, MobileNetV2, MobileNetV3

RELU = dict(act_cfg=dict(type='ReLU'), base_act_cfg=dict(type='ReLU'))


@pytest.fixture
def said(monkeypatch):
    """What was said of an identity start."""
    texts = []
    monkeypatch.setattr(
        'mm_frelu.backbones.mobilenet.print_log', lambda text, **_: texts.append(text)
    )
    return texts


@pytest.mark.parametrize('act', ['FReLU', 'LightFReLU', 'DyReLUB'])
@pytest.mark.parametrize('network', NETWORKS)
def test_identity_start_is_the_relu_network(network, act):
    """After init_weights, which starts convolutions and norms anew, and with the ReLU network's own keys only."""
    act_cfg = dict(type=act, init='identity')
    # By default DY-ReLU takes squeeze-and-excitation out, which would be another network.
    same = dict(with_se=True) if network is MobileNetV3 else {}
    model = small(network, act_cfg=act_cfg, base_act_cfg=dict(type='ReLU'), act_stem=True, **same)
    model.init_weights()
    relu = small(network, **RELU, **same)
    missing, unexpected = relu.load_state_dict(model.state_dict(), strict=False)
    assert missing == []
    assert all('act' in name for name in unexpected)
    x = torch.randn(2, 3, 64, 64)
    for training in (False, True):
        with torch.no_grad():
            for actual, expected in zip(model.train(training)(x), relu.train(training)(x)):
                assert torch.equal(actual, expected)


def test_identity_start_does_not_stop_at_6(said):
    """In a ReLU6 network it is ReLU: the same below 6, not above. The docs and a warning say so."""
    options = dict(act_stages=(0,), out_indices=(0,), widen_factor=0.25)
    relu6 = MobileNetV2(act_cfg=dict(type='ReLU6'), **options).eval()
    identity = MobileNetV2(act_cfg=dict(type='FReLU', init='identity'), **options).eval()
    result = identity.load_state_dict(relu6.state_dict(), strict=False)
    assert {name.rpartition('.act2.')[0] for name in result.missing_keys} == {'layer1.0'}
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(identity(x)[0], relu6(x)[0])
        shift = identity.layer1[0].conv[0].bn.bias
        for model in (identity, relu6):
            model.layer1[0].conv[0].bn.bias.fill_(7.0)
        assert shift.min() == 7.0
        assert not torch.equal(identity(x)[0], relu6(x)[0])
    assert len(said) == 1
    assert said[0].startswith("MobileNetV2: init='identity' starts FReLU as ReLU")
    assert 'trained with ReLU6' in said[0]


def test_only_a_start_that_differs_is_warned_of(said):
    identity = dict(type='FReLU', init='identity')
    MobileNetV1(0.25, act_cfg=identity)
    MobileNetV2(0.25)
    MobileNetV2(0.25, act_cfg=identity, base_act_cfg=dict(type='ReLU'))
    MobileNetV3(act_cfg=identity, act_stages=(0, 1, 2))  # these have ReLU
    assert said == []
    MobileNetV3(act_cfg=identity)
    assert 'trained with HSwish' in said[0]


@pytest.mark.parametrize('frozen', [-1, 0, 2, 'all'])
@pytest.mark.parametrize('network', NETWORKS)
def test_frozen_stages(network, frozen, warnings_of):
    stages = [f'layer{k}' for k in range(1, {MobileNetV1: 5, MobileNetV2: 7}.get(network, 11) + 1)]
    last = {MobileNetV1: None, MobileNetV2: 'conv2', MobileNetV3: 'layer12'}[network]
    parts = [small(network).stem_name, 'stem_act', *stages, *([last, 'last_act'] if last else [])]
    number = len(stages) + bool(last) if frozen == 'all' else frozen
    model = small(network, act_cfg=dict(type='FReLU'), frozen_stages=number).train()
    still = {-1: 0, 0: 2, 2: 4, 'all': len(parts)}[frozen]
    for index, name in enumerate(parts):
        part = model.get_submodule(name)
        assert all(layer.training == (index >= still) for layer in part.modules()), name
        assert all(p.requires_grad == (index >= still) for p in part.parameters()), name
    # The stem has no window by default, and untrained windows in frozen stages would stay so.
    assert len(warnings_of) == (frozen in (2, 'all'))


@pytest.mark.parametrize('network', NETWORKS)
def test_norm_eval_and_act_norm_eval(network, warnings_of):
    def modes(**options):
        model = small(network, act_cfg=dict(type='FReLU'), **options).train()
        inside = {
            norm for act in model.modules() if isinstance(act, FReLU) for norm in act.modules()
        }
        norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
        own = {norm.training for norm in norms if norm not in inside}
        windows = {norm.training for norm in norms if norm in inside}
        return own, windows

    assert modes() == ({True}, {True})
    assert modes(norm_eval=True, act_norm_eval=False) == ({False}, {True})
    assert warnings_of == []
    assert modes(norm_eval=True) == ({False}, {False})
    assert 'act_norm_eval=False' in warnings_of[0]


@pytest.mark.parametrize('act', ['FReLU', 'DyReLUB'])
@pytest.mark.parametrize('network', NETWORKS)
def test_checkpointing_changes_nothing(network, act):
    torch.manual_seed(0)
    plain = small(network, act_cfg=dict(type=act)).train()
    checked = small(network, act_cfg=dict(type=act), with_cp=True).train()
    checked.load_state_dict(copy.deepcopy(plain.state_dict()))
    x = torch.randn(2, 3, 64, 64)
    for model in (plain, checked):
        sum(feature.square().mean() for feature in model(x)).backward()
    for (name, expected), actual in zip(plain.named_parameters(), checked.parameters()):
        torch.testing.assert_close(actual.grad, expected.grad, msg=name)
    for (name, expected), actual in zip(plain.named_buffers(), checked.buffers()):
        assert torch.equal(actual, expected), name


@pytest.mark.parametrize('network', NETWORKS)
def test_folding(network):
    """switch_to_deploy of every window leaves the features as they are, within rounding."""
    model = randomise(small(network, act_cfg=dict(type='FReLU'))).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(x)
        for layer in list(model.modules()):
            if isinstance(layer, FReLU):
                layer.switch_to_deploy()
        for actual, feature in zip(model(x), expected):
            torch.testing.assert_close(
                actual, feature, rtol=1e-4, atol=1e-4 * float(feature.abs().max())
            )


@pytest.mark.parametrize('network', [MobileNetV2, MobileNetV3])
def test_a_detector_takes_the_classifiers_checkpoint(network):
    """The last convolution, which nobody asked for, is not a misfit, anything else is."""
    classifier = small(network, act_cfg=dict(type='FReLU'), act_last=True)
    options = {**SMALL[network], 'out_indices': SMALL[network]['out_indices'][:-1]}
    detector = network(**options, act_cfg=dict(type='FReLU'))
    detector.load_state_dict(classifier.state_dict())
    state = {**classifier.state_dict(), 'layer99.weight': torch.zeros(1)}
    with pytest.raises(RuntimeError, match=r'layer99\.weight'):
        detector.load_state_dict(state)


def test_checkpoint_file_loads_by_init_cfg(tmp_path):
    """A classifier's checkpoint into a backbone, the way configs ask for it; windows keep their start."""
    source = randomise(small(MobileNetV2, act_cfg=dict(type='ReLU6')))
    file = tmp_path / 'classifier.pth'
    torch.save({f'backbone.{key}': value for key, value in source.state_dict().items()}, file)
    init_cfg = dict(type='Pretrained', checkpoint=str(file), prefix='backbone.')
    model = MobileNetV2(
        0.25, act_cfg=dict(type='FReLU', init='identity'), out_indices=(6,), init_cfg=init_cfg
    )
    model.init_weights()
    state = model.state_dict()
    loaded = [name for name in source.state_dict() if not name.startswith('conv2.')]
    assert all(torch.equal(state[name], source.state_dict()[name]) for name in loaded)
    assert not model.layer2[0].act1.norm.weight.any()
