"""With ReLU everywhere and the same state dict, our ResNet computes what mmdet's and mmseg's compute, bit for bit."""

import mm_frelu  # noqa: F401  isort: skip  (before mmdet and mmseg: it stands in for missing compiled ops)

import mmdet.models.backbones.resnet as mmdet_resnet
import mmseg.models.backbones.resnet as mmseg_resnet
import pytest
import torch

from mm_frelu import ResNet, ResNetV1c, ResNetV1d
from mm_frelu.compat import MissingOpError, install_missing_ops

RELU = dict(act_cfg=dict(type='ReLU'))
D8 = dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
CONTEXT = dict(
    cfg=dict(type='ContextBlock', ratio=0.25),
    stages=(False, True, True, False),
    position='after_conv3',
)
CASES = {
    'mmdet-18': (mmdet_resnet.ResNet, ResNet, dict(depth=18)),
    'mmdet-34': (mmdet_resnet.ResNet, ResNet, dict(depth=34)),
    'mmdet-50': (mmdet_resnet.ResNet, ResNet, dict(depth=50)),
    'mmdet-50-caffe': (mmdet_resnet.ResNet, ResNet, dict(depth=50, style='caffe')),
    'mmdet-50-plugins': (mmdet_resnet.ResNet, ResNet, dict(depth=50, plugins=[CONTEXT])),
    'mmdet-101': (mmdet_resnet.ResNet, ResNet, dict(depth=101, out_indices=(1, 3))),
    'mmdet-152': (mmdet_resnet.ResNet, ResNet, dict(depth=152)),
    'mmdet-v1d': (mmdet_resnet.ResNetV1d, ResNetV1d, dict(depth=50)),
    'mmseg-50-d8': (mmseg_resnet.ResNet, ResNet, dict(depth=50, contract_dilation=True, **D8)),
    'mmseg-v1c-d8': (
        mmseg_resnet.ResNetV1c,
        ResNetV1c,
        dict(depth=50, contract_dilation=True, **D8),
    ),
    'mmseg-v1c-18': (mmseg_resnet.ResNetV1c, ResNetV1c, dict(depth=18)),
    'mmseg-v1d-grid': (
        mmseg_resnet.ResNetV1d,
        ResNetV1d,
        dict(depth=50, multi_grid=(1, 2, 4), **D8),
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_equal_in_eval(case):
    upstream_class, our_class, options = CASES[case]
    options = dict(options, base_channels=8, stem_channels=8)
    torch.manual_seed(0)
    upstream = upstream_class(**options)
    upstream.eval()  # returns None
    for name, tensor in upstream.state_dict().items():
        if tensor.is_floating_point():
            low = 0.5 if name.endswith('running_var') else -0.5
            tensor.uniform_(low, low + 1.0)
    ours = our_class(**options, **RELU).eval()
    ours.load_state_dict(upstream.state_dict())
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        for expected, actual in zip(upstream(x), ours(x)):
            assert torch.equal(actual, expected)


@pytest.mark.parametrize('depth', [18, 50])
def test_starts_like_upstream(depth):
    """Same seed, same weights after init_weights: the baseline starts where an mmdet network starts."""
    options = dict(depth=depth, base_channels=8)
    upstream, ours = mmdet_resnet.ResNet(**options), ResNet(**options, **RELU)
    upstream.init_weights()
    ours.init_weights()
    starts = ours.state_dict()
    for name, tensor in upstream.state_dict().items():
        assert starts[name].shape == tensor.shape
        if tensor.ndim == 1:
            assert torch.equal(starts[name], tensor), name
        elif tensor.numel() > 500:
            torch.testing.assert_close(starts[name].std(), tensor.std(), rtol=0.15, atol=0)


@pytest.mark.parametrize('fallback_on_stride', [False, True])
def test_deformable_convolutions_are_where_mmdet_has_them(fallback_on_stride):
    def options():  # new dicts for each: mmdet takes a word out of them
        dcn = dict(type='DCN', deform_groups=1, fallback_on_stride=fallback_on_stride)
        return dict(depth=50, base_channels=8, dcn=dcn, stage_with_dcn=(False, True, False, True))

    upstream = mmdet_resnet.ResNet(**options())
    ours = ResNet(**options(), **RELU).eval()
    ours.load_state_dict(upstream.state_dict())
    upstream.eval()
    x = torch.randn(1, 3, 160, 160)
    if install_missing_ops():
        with pytest.raises(MissingOpError, match='deform_conv_forward is missing'):
            ours(x)
    else:
        with torch.no_grad():
            for expected, actual in zip(upstream(x), ours(x)):
                assert torch.equal(actual, expected)


def test_the_users_dcn_config_stays_as_it_is():
    dcn = dict(type='DCN', deform_groups=1, fallback_on_stride=True)
    ResNet(50, base_channels=8, dcn=dcn, stage_with_dcn=(False, True, True, True))
    assert dcn == dict(type='DCN', deform_groups=1, fallback_on_stride=True)


def test_training_step_equals_upstream():
    torch.manual_seed(0)
    upstream = mmdet_resnet.ResNet(50, base_channels=8, norm_eval=False)
    upstream.train()
    ours = ResNet(50, base_channels=8, **RELU).train()
    ours.load_state_dict(upstream.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for model in (upstream, ours):
        sum(feature.square().mean() for feature in model(x)).backward()
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    for name, parameter in upstream.named_parameters():
        assert torch.equal(gradients[name], parameter.grad), name
    buffers = dict(ours.named_buffers())
    assert all(torch.equal(buffers[name], buffer) for name, buffer in upstream.named_buffers())
