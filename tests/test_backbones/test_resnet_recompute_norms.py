"""recompute_norms changes what is kept for backward and nothing else."""

import copy

import pytest
import torch
from torch.testing import assert_close
from with_and_without import assert_same_step, step, without

from mm_frelu import FReLU, ResNet
from mm_frelu.analysis.kept_for_backward import kept_bytes

CASES = {
    'basic blocks': dict(depth=18),
    'bottlenecks': dict(depth=50),
    'frozen': dict(depth=18, norm_eval=True, act_norm_eval=False, frozen_stages=1),
    'checkpointed': dict(depth=18, with_cp=True),
    'v1d, stem too': dict(depth=50, deep_stem=True, avg_down=True, act_stem=True),
    'v1c, light, stem too': dict(
        depth=18, deep_stem=True, act_stem=True, act_cfg=dict(type='LightFReLU')
    ),
    'light, stem too': dict(depth=18, act_cfg=dict(type='LightFReLU'), act_stem=True),
    'group norm': dict(depth=18, norm_cfg=dict(type='GN', num_groups=2)),
}


def network(**options):
    torch.manual_seed(0)
    model = ResNet(base_channels=8, zero_init_residual=False, **options).double()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data.uniform_(0.5, 1.5)
    return model.train()


@pytest.mark.parametrize('case', CASES)
def test_values_gradients_and_statistics_stay(case):
    model = network(**CASES[case])
    assert_same_step(model, without(model), torch.randn(2, 3, 64, 64, dtype=torch.float64))


def test_keeps_what_relu_keeps():
    """Beyond that: mean, variance and scale-sized values for each channel of a site."""
    x = torch.randn(1, 3, 128, 256)

    def kept(model):
        return kept_bytes(model.train(), x)

    relu = kept(ResNet(50, base_channels=16, act_cfg=dict(type='ReLU')))
    assert kept(ResNet(50, base_channels=16)) < 1.02 * relu
    assert kept(ResNet(50, base_channels=16, recompute_norms=False)) > 1.2 * relu


def test_says_that_it_starts_before_the_norm():
    model = network(depth=18)
    model(torch.randn(1, 3, 64, 64, dtype=torch.float64))
    assert 'from before the norm' in repr(model.layer1[0].act1)


@pytest.mark.parametrize('where', ['bn1', 'bn2', 'act1', 'downsample.1', 'downsample'])
def test_hooks_run(where):
    model = network(depth=18)
    block, seen = model.layer2[0], []
    block.get_submodule(where).register_forward_hook(lambda *_: seen.append(where))
    plain = without(model)
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    assert_close(model(x), plain(x))
    assert seen == [where] * 2  # the copy has the hook too


def test_fused_norms_are_identities():
    """What mmcv's fuse_conv_bn leaves in place of a norm."""
    model = network(depth=18).eval()
    block = model.layer1[0]
    block.bn1 = block.bn2 = torch.nn.Identity()
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    assert_close(model(x), without(model)(x))


def test_what_cannot_take_norms_gets_their_sum():
    layer = FReLU(4, norm_cfg=dict(type='GN', num_groups=2)).double()
    norm = torch.nn.BatchNorm2d(4).double()
    u, shortcut = torch.randn(2, 2, 4, 5, 5, dtype=torch.float64).unbind()
    expected = layer(copy.deepcopy(norm)(u) + shortcut)
    assert_close(layer.after_norms([(u, norm), (shortcut, None)]), expected)


@pytest.mark.whole_graph
@pytest.mark.slow
def test_compiles_without_graph_break():
    model = network(depth=18)
    compiled = copy.deepcopy(model)
    run = torch.compile(compiled, fullgraph=True, backend='aot_eager')
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    for ours, expected in zip(step(run, x), step(model, x)):
        assert_close(ours, expected)
    for ours, expected in zip(compiled.parameters(), model.parameters()):
        assert_close(ours.grad, expected.grad)
