"""recompute_norms in the stems and in the light networks: it changes what is kept for backward and nothing else."""

import copy
from functools import partial

import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from mobile_networks import randomise, small
from torch.testing import assert_close
from with_and_without import assert_same_step, step, without

from mm_frelu import MobileNetV1, MobileNetV2, MobileNetV3, ResNetV1c, ResNetV1d, ShuffleNetV2
from mm_frelu.activations import FunnelActivation
from mm_frelu.analysis.kept_for_backward import kept_bytes

EVERYWHERE = dict(act_stem=True, act_last=True)
RELU = dict(type='ReLU')
RESNET = dict(depth=10, base_channels=8, act_stem=True, act_stages=(0, 1, 2, 3))
NETWORKS = {
    'v1c': partial(ResNetV1c, **RESNET),
    'v1d': partial(ResNetV1d, **RESNET),
    'shufflenet': partial(ShuffleNetV2, 0.5, out_indices=(0, 1, 2, 3)),
    'mobilenet v1': partial(small, MobileNetV1, act_stem=True),
    'mobilenet v2': partial(small, MobileNetV2, base_act_cfg=RELU, **EVERYWHERE),
    'mobilenet v3': partial(small, MobileNetV3, base_act_cfg=RELU, **EVERYWHERE),
}
LIGHT = [name for name in NETWORKS if 'net' in name]
"""The deep stems are tested with the rest of ResNet."""
MODES = {
    'checkpointed': dict(act_cfg=dict(type='FReLU'), with_cp=True),
    'fixed norms': dict(
        act_cfg=dict(type='LightFReLU'), norm_eval=True, act_norm_eval=False, frozen_stages=1
    ),
}


def network(name, **options):
    torch.manual_seed(0)
    return NETWORKS[name](**{'act_cfg': dict(type='FReLU'), **options})


def images(dtype=torch.float64):
    return torch.randn(2, 3, 64, 64, dtype=dtype)


def funnels(model):
    return [layer for layer in model.modules() if isinstance(layer, FunnelActivation)]


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('name', LIGHT)
def test_values_gradients_and_statistics_stay(name, mode):
    model = randomise(network(name, **MODES[mode])).double().train()
    plain = network(name, **MODES[mode], recompute_norms=False).double().train()
    plain.load_state_dict(copy.deepcopy(model.state_dict()))
    assert_same_step(model, plain, images())


@pytest.mark.parametrize('name', NETWORKS)
def test_features_stay_bit_for_bit(name):
    """An identity start has to be exactly ReLU, whatever computes it."""
    model = randomise(network(name))
    plain = without(model)
    x = images(torch.float32)
    with torch.no_grad():
        for training in (False, True):
            for ours, expected in zip(model.train(training)(x), plain.train(training)(x)):
                assert torch.equal(ours, expected)


@pytest.mark.parametrize('name', NETWORKS)
def test_keeps_what_relu_keeps(name):
    """Beyond that: a few numbers for each channel of a site; most of them with two windows."""

    def kept(**options):
        with torch.device('meta'):
            model = network(name, **options).train()
            return model, kept_bytes(model, torch.empty(1, 3, 256, 512))

    light = dict(type='LightFReLU')
    _, relu = kept(act_cfg=RELU)
    model, ours = kept(act_cfg=light)
    plain, without_it = kept(act_cfg=light, recompute_norms=False)
    assert ours < 1.02 * relu
    assert without_it > 1.15 * relu
    assert all('from before the norm' in layer.live.reason for layer in funnels(model))
    assert not any('from before the norm' in layer.live.reason for layer in funnels(plain))


@pytest.mark.parametrize(
    ('name', 'where'),
    [
        ('v1c', 'stem'),
        ('v1c', 'stem.1'),
        ('shufflenet', 'features.1.branch_main'),
        ('shufflenet', 'features.1.branch_main.7'),
        ('mobilenet v1', 'conv1'),
        ('mobilenet v1', 'layer2.0.pointwise_conv.bn'),
        ('mobilenet v2', 'layer2.0.conv.0'),
        ('mobilenet v2', 'layer2.0.act1'),
    ],
)
def test_hooks_see_what_they_saw(name, where):
    """Of a whole convolution the normalised output, with the norm's hooks run inside."""
    model = network(name)
    seen = []
    model.get_submodule(where).register_forward_hook(lambda *call: seen.append(call[2].clone()))
    plain = without(model)  # the copy has the hook too
    x = images(torch.float32)
    with torch.no_grad():
        model(x), plain(x)
    ours, expected = seen
    assert_close(ours, expected)


@pytest.mark.numba
@pytest.mark.parametrize('once', [False, True])
@pytest.mark.parametrize('name', NETWORKS)
@torch.no_grad()
def test_what_hooks_of_convolutions_keep_stays_what_it_was(name, once):
    """Without gradients a site may take a convolution's memory, but not if somebody has seen what is in it."""
    model = network(name).eval()
    windows = {conv for act in funnels(model) for conv, _ in act.windows}
    kept, handles = [], {}

    def keep(layer, _, out):
        kept.append((out, out.clone()))
        if once:
            handles[layer].remove()

    for path, layer in model.named_modules():
        # Squeeze-and-excitation has activations in place. With hooks on its windows a site is computed step by step.
        if isinstance(layer, torch.nn.Conv2d) and '.se.' not in path and layer not in windows:
            handles[layer] = layer.register_forward_hook(keep)
    model(images(torch.float32))
    assert {act.live.name for act in funnels(model)} == {'numba'}
    assert len(kept) > 10
    assert all(torch.equal(out, copied) for out, copied in kept)


@pytest.mark.parametrize('name', NETWORKS)
def test_folded_and_copied(name):
    """mmcv's fuse_conv_bn leaves identities in place of norms; a copy keeps the option."""
    model = randomise(network(name)).double().eval()
    x = images()
    with torch.no_grad():
        expected = model(x)
        copied, fused = copy.deepcopy(model), fuse_conv_bn(copy.deepcopy(model))
        for other in (copied, fused, without(fused)):
            for actual, feature in zip(other(x), expected):
                assert_close(actual, feature, rtol=1e-8, atol=1e-8)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in fused.modules())
    assert all('from before the norm' in layer.live.reason for layer in funnels(copied))


@pytest.mark.parametrize('name', LIGHT)
def test_a_word_for_the_switch_is_refused(name):
    with pytest.raises(ValueError, match="recompute_norms must be True or False; got 'no'"):
        network(name, recompute_norms='no')


@pytest.mark.slow
@pytest.mark.parametrize('name', NETWORKS)
def test_traces(name):
    model = randomise(network(name)).eval()
    x = images(torch.float32)
    with torch.no_grad():
        traced = torch.jit.trace(model, x)
        for ours, expected in zip(traced(x), model(x)):
            assert_close(ours, expected)


@pytest.mark.whole_graph
@pytest.mark.slow
@pytest.mark.parametrize('name', ['shufflenet', 'mobilenet v1'])
def test_compiles_without_graph_break(name):
    model = network(name).double()
    compiled = copy.deepcopy(model)
    run = torch.compile(compiled, fullgraph=True, backend='aot_eager')
    x = images()
    for ours, expected in zip(step(run, x), step(model, x)):
        assert_close(ours, expected)
    for ours, expected in zip(compiled.parameters(), model.parameters()):
        assert_close(ours.grad, expected.grad)
