"""The MobileNets inside mmdet's RetinaNet and mmseg's PSPNet: a training step, and folding by the config."""

import mm_frelu  # noqa: F401  isort: skip  (before mmdet and mmseg: it stands in for missing compiled ops)

import mmdet.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from mobile_networks import randomise
from tiny_project import REPOSITORY

from mm_frelu.checkpoints.deploy import fold
from mm_frelu.checkpoints.deploy_config import deploy_config

V1 = dict(type='mm_frelu.MobileNetV1', widen_factor=0.25, out_indices=(2, 3, 4))
V2 = dict(type='mm_frelu.MobileNetV2', widen_factor=0.25, out_indices=(2, 4, 6))
V3 = dict(type='mm_frelu.MobileNetV3', act_cfg=dict(type='DyReLUB'))
D8 = dict(strides=(1, 2, 2, 1, 1, 1, 1), dilations=(1, 1, 1, 2, 2, 4, 4))


def model_config(name, backbone, **parts):
    cfg = Config.fromfile(REPOSITORY / 'configs' / '_base_' / 'models' / name)
    cfg.model.backbone = backbone
    for part, options in parts.items():
        cfg.model[part].update(options)
    return cfg


def retinanet(backbone, channels):
    return model_config(
        'retinanet_r50_fpn.py',
        backbone,
        neck=dict(in_channels=channels, start_level=0, out_channels=16, num_outs=5),
        bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1),
    )


def pspnet(backbone, auxiliary, last):
    # Pooling to one pixel leaves a batch of one nothing to normalise by; two images do.
    norm_cfg = dict(type='BN')
    head = dict(channels=8, norm_cfg=norm_cfg)
    return model_config(
        'pspnet_r50b-d8.py',
        {**backbone, 'norm_cfg': norm_cfg},
        decode_head=dict(in_channels=last, in_index=-1, **head),
        auxiliary_head=dict(in_channels=auxiliary, in_index=-2, **head),
    )


def without_gradient(model, losses):
    parts = [p for loss in losses.values() for p in (loss if isinstance(loss, list) else [loss])]
    sum(part for part in parts if part.requires_grad).backward()  # accuracies need none
    return [name for name, parameter in model.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize(
    ('backbone', 'channels'),
    [
        (V1, [64, 128, 256]),
        (V2, [8, 24, 80]),
        (dict(V3, out_indices=(3, 8, 11)), [24, 48, 96]),
    ],
)
def test_training_step_of_retinanet(backbone, channels):
    """Every parameter has a gradient: DDP needs no search for unused ones."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(retinanet(backbone, channels).model).train()
    metainfo = dict(img_shape=(64, 64), pad_shape=(64, 64), batch_input_shape=(64, 64))
    samples = [DetDataSample(metainfo=metainfo) for _ in range(2)]
    boxes = torch.tensor([[8.0, 8.0, 56.0, 56.0]])
    for sample in samples:
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0]))
    losses = model.loss(torch.randn(2, 3, 64, 64), samples)
    assert without_gradient(model, losses) == []


@pytest.mark.parametrize(
    ('backbone', 'auxiliary', 'last'),
    [
        (dict(V1, strides=(1, 2, 2, 1, 1), dilations=(1, 1, 1, 2, 4)), 128, 256),
        (dict(V2, **D8), 24, 80),
        (dict(V3, out_indices=(8, 11), output_stride=8), 48, 96),
    ],
)
def test_training_step_of_pspnet(backbone, auxiliary, last):
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(pspnet(backbone, auxiliary, last).model).train()
        images = torch.randn(2, 3, 64, 64)
        assert model.backbone(images)[-1].shape == (2, last, 8, 8)
        samples = [SegDataSample(metainfo=dict(img_shape=(64, 64))) for _ in range(2)]
        for sample in samples:
            sample.gt_sem_seg = PixelData(data=torch.randint(0, 19, (1, 64, 64)))
        losses = model.loss(images, samples)
    assert without_gradient(model, losses) == []


@pytest.mark.parametrize('backbone', [V1, V2, dict(V3, act_cfg=dict(type='LightFReLU'))])
def test_folded_weights_fit_the_folded_config(backbone):
    """reparameterize_model.py's two halves, also where the activation is the network's default."""
    cfg = Config(dict(default_scope='mmengine', model=backbone, load_from=None))
    with DefaultScope.overwrite_default_scope('mmengine'):
        model = randomise(MODELS.build(cfg.model)).eval()
        x = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            expected = model(x)
            assert sum(fold(model).values()) > 20
            deployed = MODELS.build(deploy_config(cfg).model).eval()
            deployed.load_state_dict(model.state_dict())
            for actual, feature in zip(deployed(x), expected):
                scale = float(feature.abs().max())
                torch.testing.assert_close(actual, feature, rtol=1e-4, atol=1e-4 * scale)
