"""ShuffleNetV2: cost, channel order, start, freezing, checkpointing, and its place in RetinaNet."""

import copy
import math

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mm_frelu import LightFReLU, ResNet, ShuffleNetV2
from mm_frelu.registry import MODELS


def macs(model, size=224):
    """Multiply-adds of convolutions and linear layers for one picture."""
    counted = []

    def count(layer, _, out):
        if isinstance(layer, nn.Linear):
            counted.append(layer.weight.numel())
        else:
            counted.append(layer.weight.numel() * out.shape[-2] * out.shape[-1])

    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    model(torch.zeros(1, 3, size, size, device='meta'))
    return sum(counted)


class Classifier(nn.Module):
    """The official network around a backbone: mean over the picture, one linear layer."""

    def __init__(self, backbone, channels, bias):
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(channels, 1000, bias=bias)

    def forward(self, x):
        return self.fc(self.backbone(x)[-1].mean((2, 3)))


# Parameters and multiply-adds counted on the official network, run in MegEngine 1.13.
OFFICIAL = {
    0.5: (1_395_232, 45_406_240, 29_440),
    1.0: (2_335_060, 154_742_488, None),
    1.5: (3_586_720, 311_426_848, None),
    2.0: (7_519_700, 607_538_648, None),
}


@pytest.mark.parametrize('widen_factor', OFFICIAL)
def test_cost_is_the_official_ones(widen_factor):
    parameters, multiplications, in_windows = OFFICIAL[widen_factor]
    channels = 2048 if widen_factor == 2.0 else 1024
    with torch.device('meta'):
        model = Classifier(ShuffleNetV2(widen_factor), channels, bias=False).eval()
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert macs(model) == multiplications
    windows = [layer for layer in model.modules() if isinstance(layer, LightFReLU)]
    assert len(windows) == 37
    if in_windows:
        assert sum(p.numel() for layer in windows for p in layer.parameters()) == in_windows


def test_cost_of_the_official_resnet50():
    """Its backbone has no biases in its convolutions, which multiply nothing."""
    with torch.device('meta'):
        model = Classifier(ResNet(50, style='caffe'), 2048, bias=True).eval()
    assert macs(model) == 3_928_420_352


@pytest.mark.parametrize('name', ['ReLU', 'SiLU', 'PReLU', 'FReLU', 'LightFReLU'])
def test_any_activation_at_every_site(name):
    model = ShuffleNetV2(0.5, act_cfg=dict(type=name))
    layers = [layer for layer in model.modules() if type(layer).__name__ == name]
    assert len(layers) == 37
    out, *_ = model(torch.randn(2, 3, 64, 64))
    assert out.shape == (2, 1024, 2, 2)
    if name == 'PReLU':
        assert layers[0].num_parameters == 24


def test_even_channels_pass_and_come_first():
    model = ShuffleNetV2(0.5).eval()
    block = model.features[1]
    seen = {}
    block.branch_main.register_forward_hook(lambda _, x, out: seen.update(x=x[0], out=out))
    x = torch.randn(1, 48, 5, 5)
    with torch.no_grad():
        out = block(x)
    order = torch.arange(48)
    assert torch.equal(out[:, :24], x[:, order % 2 == 0])
    assert torch.equal(seen['x'], x[:, order % 2 == 1])
    assert torch.equal(out[:, 24:], seen['out'])
    first = model.features[0]
    x = torch.randn(1, 24, 6, 6)
    with torch.no_grad():
        assert torch.equal(first(x), torch.cat((first.branch_proj(x), first.branch_main(x)), 1))


def test_outputs_and_their_strides():
    model = ShuffleNetV2(1.5, out_indices=(0, 1, 2, 3)).eval()
    with torch.no_grad():
        outs = model(torch.randn(1, 3, 64, 96))
    assert [tuple(out.shape) for out in outs] == [
        (1, 176, 8, 12),
        (1, 352, 4, 6),
        (1, 704, 2, 3),
        (1, 1024, 2, 3),
    ]
    detector = ShuffleNetV2(1.5, out_indices=(0, 2)).eval()
    assert not any(name.startswith('conv_last') for name, _ in detector.named_parameters())
    missing, unexpected = detector.load_state_dict(model.state_dict(), strict=False)
    assert missing == unexpected == []
    with torch.no_grad():
        small, large = detector(torch.ones(1, 3, 64, 96))
        expected = model(torch.ones(1, 3, 64, 96))
    assert torch.equal(small, expected[0])
    assert torch.equal(large, expected[2])


def test_official_start():
    torch.manual_seed(0)
    model = ShuffleNetV2(1.0)
    model.init_weights()
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            official = 0.01 if name.startswith('first_conv') else 1 / layer.weight.shape[1]
            # Four standard errors of a sample's deviation.
            error = 4 * official / math.sqrt(2 * layer.weight.numel())
            assert abs(layer.weight.std() - official) < error, name
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all(), name
            assert (layer.bias == 1e-4).all(), name


def test_identity_start_is_relu():
    model = ShuffleNetV2(0.5, act_cfg=dict(type='LightFReLU', init='identity')).eval()
    model.init_weights()
    relu = ShuffleNetV2(0.5, act_cfg=dict(type='ReLU')).eval()
    missing, unexpected = relu.load_state_dict(model.state_dict(), strict=False)
    assert missing == []
    assert len(unexpected) == 37 * 12
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(x)[0], relu(x)[0])


def test_init_cfg_comes_after_the_official_start():
    model = ShuffleNetV2(0.5, init_cfg=dict(type='Constant', layer='Conv2d', val=0.5))
    model.init_weights()
    assert (model.features[3].branch_main[0].weight == 0.5).all()
    assert (model.features[3].branch_main[1].bias == 1e-4).all()


@pytest.mark.parametrize(('frozen', 'blocks'), [(-1, 0), (0, 0), (1, 4), (2, 12), (3, 16), (4, 16)])
def test_frozen_stages(frozen, blocks, warnings_of):
    model = ShuffleNetV2(0.5, frozen_stages=frozen)
    model.init_weights()
    model.train()
    parts = [model.first_conv, *model.features, model.conv_last]
    expected = [frozen >= 0, *[index < blocks for index in range(16)], frozen == 4]
    for part, is_frozen in zip(parts, expected):
        assert all(p.requires_grad != is_frozen for p in part.parameters())
        assert all(layer.training != is_frozen for layer in part.modules())
    # At the official start, with its shifts of 1e-4, windows count as untrained.
    assert len(warnings_of) == (frozen >= 0)
    model.train()
    assert len(warnings_of) <= 1


def test_norm_eval_and_act_norm_eval(warnings_of):
    def training(**options):
        model = ShuffleNetV2(0.5, **options).train()
        return model.features[0].branch_main[1].training, model.features[0].branch_main[
            2
        ].norm1.training

    assert training() == (True, True)
    assert training(norm_eval=True) == (False, False)
    assert training(norm_eval=True, act_norm_eval=False) == (False, True)
    assert training(act_norm_eval=True) == (True, False)


def test_norm_cfg_reaches_blocks_and_windows():
    model = ShuffleNetV2(
        0.5, norm_cfg=dict(type='GN', num_groups=4), act_cfg=dict(type='LightFReLU')
    )
    model.init_weights()
    norms = {type(layer) for layer in model.modules() if 'Norm' in type(layer).__name__}
    assert norms == {nn.GroupNorm}
    assert (model.features[0].branch_main[2].norm1.bias == 1e-4).all()


def test_checkpointing_changes_nothing():
    torch.manual_seed(0)
    plain = ShuffleNetV2(0.5, out_indices=(0, 1, 2)).train()
    checked = ShuffleNetV2(0.5, out_indices=(0, 1, 2), with_cp=True).train()
    checked.load_state_dict(copy.deepcopy(plain.state_dict()))
    x = torch.randn(2, 3, 64, 64)
    for model in (plain, checked):
        sum(feature.square().mean() for feature in model(x)).backward()
    for (name, expected), (_, actual) in zip(plain.named_parameters(), checked.named_parameters()):
        torch.testing.assert_close(actual.grad, expected.grad, msg=name)
    for (name, expected), (_, actual) in zip(plain.named_buffers(), checked.named_buffers()):
        assert torch.equal(actual, expected), name


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(widen_factor=0.75), r'no widen_factor 0\.75; use one of \(0\.5, 1\.0, 1\.5, 2\.0\)'),
        (dict(out_indices=(4,)), r'out_indices=\(4,\) must lie in 0\.\.3'),
        (dict(frozen_stages=5), r'frozen_stages must lie in -1\.\.4; got 5'),
        (dict(norm_eval='no'), "norm_eval must be True or False; got 'no'"),
        (dict(act_norm_eval=0), 'act_norm_eval must be True or False; got 0'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ShuffleNetV2(**options)


def test_in_retinanet():
    """A training step of mmdet's RetinaNet, every parameter with a gradient: DDP needs no search for unused ones."""
    from pathlib import Path

    from mmdet.registry import MODELS as MMDET
    from mmdet.structures import DetDataSample
    from mmdet.utils import register_all_modules
    from mmengine.structures import InstanceData

    register_all_modules(init_default_scope=True)
    base = Path(__file__).parents[2] / 'configs/_base_/models/retinanet_r50_fpn.py'
    cfg = Config.fromfile(base).model
    cfg.backbone = dict(
        type='mm_frelu.ShuffleNetV2', widen_factor=0.5, out_indices=(0, 1, 2), norm_eval=False
    )
    cfg.neck.update(in_channels=[48, 96, 192], start_level=0, out_channels=16, num_outs=5)
    cfg.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1)
    model = MMDET.build(cfg).train()
    sample = DetDataSample(
        metainfo=dict(img_shape=(64, 64), pad_shape=(64, 64), batch_input_shape=(64, 64))
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8.0, 56.0, 56.0]]), labels=torch.tensor([0])
    )
    losses = model.loss(torch.randn(2, 3, 64, 64), [sample, copy.deepcopy(sample)])
    sum(sum(loss) for loss in losses.values()).backward()
    without = [name for name, p in model.backbone.named_parameters() if p.grad is None]
    assert without == []


def test_it_is_registered():
    assert isinstance(
        MODELS.build(dict(type='mm_frelu.ShuffleNetV2', widen_factor=0.5)), ShuffleNetV2
    )
