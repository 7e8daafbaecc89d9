"""With their own activations and the same state dict our MobileNets compute what mmseg's and mmdet's compute, bit for bit."""

import mm_frelu  # noqa: F401  isort: skip  (before mmdet and mmseg: it stands in for missing compiled ops)

import mmdet.models.backbones.mobilenet_v2 as mmdet_v2
import mmseg.models.backbones.mobilenet_v2 as mmseg_v2
import mmseg.models.backbones.mobilenet_v3 as mmseg_v3
import pytest
import torch
from mobile_networks import randomise
from torch import nn

from mm_frelu import MobileNetV1, MobileNetV2, MobileNetV3
from mm_frelu.backbones.mobilenet import make_divisible

RELU6 = dict(act_cfg=dict(type='ReLU6'))
V3_SEG = dict(act_cfg=None, output_stride=8, adaptive_padding=True)
D8 = dict(strides=(1, 2, 2, 1, 1, 1, 1), dilations=(1, 1, 1, 2, 2, 4, 4))
CASES = {
    'mmseg-v2': (mmseg_v2.MobileNetV2, MobileNetV2, dict(widen_factor=0.25), RELU6),
    'mmseg-v2-d8': (mmseg_v2.MobileNetV2, MobileNetV2, dict(widen_factor=0.5, **D8), RELU6),
    'mmdet-v2': (
        mmdet_v2.MobileNetV2,
        MobileNetV2,
        dict(widen_factor=0.35, out_indices=(1, 2, 4, 7)),
        RELU6,
    ),
    'mmdet-v2-wide': (
        mmdet_v2.MobileNetV2,
        MobileNetV2,
        dict(widen_factor=1.4, out_indices=(0, 7)),
        RELU6,
    ),
    'mmseg-v3-small': (
        mmseg_v3.MobileNetV3,
        MobileNetV3,
        # Without the last 1x1, to which mmseg gives a dilation; that computes the same, in another order.
        dict(arch='small', out_indices=(0, 1, 11)),
        V3_SEG,
    ),
    'mmseg-v3-large': (
        mmseg_v3.MobileNetV3,
        MobileNetV3,
        dict(arch='large', out_indices=(1, 3, 16), norm_cfg=dict(type='BN', eps=0.001)),
        V3_SEG,
    ),
}


def pair(case):
    upstream_class, our_class, options, ours_only = CASES[case]
    upstream = randomise(upstream_class(**options))
    ours = our_class(**options, **ours_only)
    ours.load_state_dict(upstream.state_dict())
    return upstream, ours


@pytest.mark.parametrize('case', CASES)
def test_equal_in_eval(case):
    upstream, ours = pair(case)
    upstream.eval()  # returns None
    ours.eval()
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        expected, actual = upstream(x), ours(x)
    assert len(expected) == len(actual)
    for theirs, our in zip(expected, actual):
        assert torch.equal(our, theirs)


@pytest.mark.parametrize('case', ['mmseg-v2', 'mmdet-v2', 'mmseg-v3-small'])
def test_training_step_equals_upstream(case):
    """Outputs, gradients and batch statistics."""
    upstream, ours = pair(case)
    upstream.train()
    ours.train()
    x = torch.randn(2, 3, 64, 64)
    for model in (upstream, ours):
        sum(feature.square().mean() for feature in model(x)).backward()
    # Names may differ, the order does not. A last layer that nobody asked for stands at the end.
    for (name, expected), actual in zip(upstream.named_parameters(), ours.parameters()):
        assert torch.equal(actual.grad, expected.grad), name
    for (name, expected), actual in zip(upstream.named_buffers(), ours.buffers()):
        assert torch.equal(actual, expected), name


@pytest.mark.parametrize('case', ['mmseg-v2', 'mmdet-v2', 'mmseg-v3-small'])
def test_starts_like_upstream(case):
    """After init_weights norms are equal and convolutions have the same spread."""
    upstream_class, our_class, options, ours_only = CASES[case]
    torch.manual_seed(0)
    upstream, ours = upstream_class(**options), our_class(**options, **ours_only)
    upstream.init_weights()
    ours.init_weights()
    for (name, tensor), start in zip(upstream.state_dict().items(), ours.state_dict().values()):
        assert start.shape == tensor.shape
        if tensor.ndim == 1:
            assert torch.equal(start, tensor), name
        elif tensor.numel() > 500:
            torch.testing.assert_close(start.std(), tensor.std(), rtol=0.2, atol=0)


@pytest.mark.parametrize('case', ['mmseg-v2', 'mmdet-v2'])
@pytest.mark.parametrize('damage', ['missing', 'unexpected'])
def test_a_key_too_few_or_too_many_is_told(case, damage):
    upstream, ours = pair(case)
    state = upstream.state_dict()
    name = next(name for name in state if name.startswith('layer3.1') and name.endswith('weight'))
    tensor = state.pop(name)
    if damage == 'unexpected':
        state.update({name: tensor, f'{name}s': tensor})
    result = ours.load_state_dict(state, strict=False)
    assert len(result.missing_keys) == (damage == 'missing')
    assert len(result.unexpected_keys) == (damage == 'unexpected')


def test_v1_is_the_chain_of_layers_in_the_papers_table():
    """OpenMMLab has no V1 to compare with; table 1 of its paper is a plain chain (a quarter of its widths here)."""
    rows = [
        (16, 1),
        (32, 2),
        (32, 1),
        (64, 2),
        (64, 1),
        (128, 2),
        *[(128, 1)] * 5,
        (256, 2),
        (256, 1),
    ]
    chain = [nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    width = 8
    for out, stride in rows:
        depthwise = nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False)
        pointwise = nn.Conv2d(width, out, 1, bias=False)
        chain += [depthwise, nn.BatchNorm2d(width), nn.ReLU()]
        chain += [pointwise, nn.BatchNorm2d(out), nn.ReLU()]
        width = out
    expected = randomise(nn.Sequential(*chain)).eval()
    ours = MobileNetV1(0.25, out_indices=(4,), act_cfg=dict(type='ReLU')).eval()
    assert len(ours.state_dict()) == len(expected.state_dict())
    ours.load_state_dict(dict(zip(ours.state_dict(), expected.state_dict().values())))
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        assert torch.equal(ours(x)[0], expected(x))


def test_widths_are_rounded_as_upstream_rounds_them():
    from mmseg.models.utils import make_divisible as mmseg_make_divisible

    factors = [0.05 * step for step in range(1, 60)]
    for channels in (16, 24, 32, 64, 96, 160, 320):
        for factor in factors:
            expected = mmseg_make_divisible(channels * factor, 8)
            assert make_divisible(channels * factor) == expected
