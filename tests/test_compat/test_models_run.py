"""The models of this project, and two neighbours, train a step and predict on the ops that are there."""

import warnings

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from mm_frelu.compat import install_missing_ops

install_missing_ops()

BACKBONE = dict(
    type='ResNet',
    depth=18,
    base_channels=8,
    norm_cfg=dict(type='BN'),
    style='pytorch',
    num_stages=4,
)
DETECTOR_PARTS = dict(
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32, pad_mask=True),
    backbone=dict(BACKBONE, out_indices=(0, 1, 2, 3)),
)
ANCHORS = dict(
    type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]
)
CODER = dict(type='DeltaXYWHBBoxCoder')
SMOOTH_L1 = dict(type='L1Loss', loss_weight=1.0)
CROSS_ENTROPY = dict(type='CrossEntropyLoss', use_sigmoid=True)


def iou_assigner(positive, negative):
    return dict(type='MaxIoUAssigner', pos_iou_thr=positive, neg_iou_thr=negative, min_pos_iou=0)


def random_sampler(num):
    return dict(type='RandomSampler', num=num, pos_fraction=0.5, add_gt_as_proposals=True)


def retinanet():
    return dict(
        type='RetinaNet',
        **DETECTOR_PARTS,
        neck=dict(
            type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, start_level=0, num_outs=5
        ),
        bbox_head=dict(
            type='RetinaHead',
            num_classes=3,
            in_channels=16,
            stacked_convs=1,
            feat_channels=16,
            anchor_generator=ANCHORS,
            bbox_coder=CODER,
            loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25),
            loss_bbox=SMOOTH_L1,
        ),
        train_cfg=dict(
            assigner=iou_assigner(0.5, 0.4),
            sampler=dict(type='PseudoSampler'),
            pos_weight=-1,
            allowed_border=-1,
        ),
        test_cfg=dict(
            nms_pre=300, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=20
        ),
    )


def mask_rcnn():
    def extractor(size):
        return dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=size, sampling_ratio=0),
            out_channels=16,
            featmap_strides=[4, 8, 16, 32],
        )

    rcnn = dict(
        assigner=iou_assigner(0.5, 0.5), sampler=random_sampler(32), mask_size=28, pos_weight=-1
    )
    proposals = dict(
        nms_pre=200, max_per_img=50, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0
    )
    return dict(
        type='MaskRCNN',
        **DETECTOR_PARTS,
        neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=5),
        rpn_head=dict(
            type='RPNHead',
            in_channels=16,
            feat_channels=16,
            anchor_generator=ANCHORS,
            bbox_coder=CODER,
            loss_cls=CROSS_ENTROPY,
            loss_bbox=SMOOTH_L1,
        ),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=extractor(7),
            bbox_head=dict(
                type='Shared2FCBBoxHead',
                in_channels=16,
                fc_out_channels=32,
                roi_feat_size=7,
                num_classes=3,
                bbox_coder=CODER,
                reg_class_agnostic=False,
                loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False),
                loss_bbox=SMOOTH_L1,
            ),
            mask_roi_extractor=extractor(14),
            mask_head=dict(
                type='FCNMaskHead',
                num_convs=1,
                in_channels=16,
                conv_out_channels=16,
                num_classes=3,
                loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
            ),
        ),
        train_cfg=dict(
            rpn=dict(
                assigner=iou_assigner(0.7, 0.3),
                sampler=dict(random_sampler(64), add_gt_as_proposals=False),
                pos_weight=-1,
                allowed_border=-1,
            ),
            rpn_proposal=proposals,
            rcnn=rcnn,
        ),
        test_cfg=dict(
            rpn=proposals,
            rcnn=dict(
                score_thr=0.0,
                nms=dict(type='soft_nms', iou_threshold=0.5),
                max_per_img=10,
                mask_thr_binary=0.5,
            ),
        ),
    )


def pspnet():
    def head(kind, channels, index, **options):
        return dict(
            type=kind,
            in_channels=channels,
            in_index=index,
            channels=8,
            num_classes=19,
            norm_cfg=dict(type='BN'),
            **options,
        )

    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 128)),
        backbone=dict(
            BACKBONE, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True
        ),
        decode_head=head('PSPHead', 64, 3, pool_scales=(1, 2, 3, 6)),
        auxiliary_head=head('FCNHead', 32, 2, num_convs=1),
        test_cfg=dict(mode='whole'),
    )


def detection_batch():
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    sample = DetDataSample(
        metainfo=dict(img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0), img_id=0)
    )
    boxes = torch.tensor([[8.0, 8, 56, 72], [60, 30, 120, 90]])
    masks = torch.zeros(2, 96, 128, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist()):
        mask[y1:y2, x1:x2] = 1
    sample.gt_instances = InstanceData(
        bboxes=boxes, labels=torch.tensor([0, 2]), masks=BitmapMasks(masks.numpy(), 96, 128)
    )
    image = torch.randint(0, 256, (3, 96, 128), generator=torch.Generator().manual_seed(0))
    return dict(inputs=[image], data_samples=[sample])


def segmentation_batch():
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(2):  # a batch norm behind the 1x1 pool needs two values
        sample = SegDataSample(metainfo=dict(img_shape=(64, 128), ori_shape=(64, 128)))
        label = torch.randint(0, 19, (1, 64, 128), generator=generator)
        sample.gt_sem_seg = PixelData(data=label)
        samples.append(sample)
    image = torch.randint(0, 256, (3, 64, 128), generator=generator)
    return dict(inputs=[image, image.clone()], data_samples=samples)


def train_a_step(model, batch):
    """Loss of one step of SGD; every parameter takes part."""
    model.train()
    data = model.data_preprocessor(batch, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert loss.isfinite()
    without = [
        name
        for name, value in model.named_parameters()
        if value.requires_grad and value.grad is None
    ]
    assert not without
    assert all(
        value.grad.isfinite().all() for value in model.parameters() if value.grad is not None
    )
    torch.optim.SGD(model.parameters(), lr=1e-4).step()


@pytest.mark.parametrize('config', [retinanet, mask_rcnn])
def test_detector(config):
    import mmdet.models  # noqa: F401
    from mmdet.registry import MODELS

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(ConfigDict(config()))
    train_a_step(model, detection_batch())
    model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        (result,) = model.test_step(detection_batch())
    found = result.pred_instances
    assert len(found)
    assert found.bboxes.isfinite().all()
    assert found.scores.diff().le(0).all()


def test_pspnet():
    import mmseg.models  # noqa: F401
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(ConfigDict(pspnet()))
    train_a_step(model, segmentation_batch())
    model.eval()
    results = model.test_step(segmentation_batch())
    assert [tuple(result.pred_sem_seg.data.shape) for result in results] == [(1, 64, 128)] * 2


def test_focal_loss_module_of_mmdet_calls_the_op_on_tensors_of_a_gpu():
    """On the CPU mmdet's FocalLoss never calls mmcv's op: call what it calls on GPUs."""
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss, sigmoid_focal_loss
    from op_cases import compiled_ops

    if compiled_ops() is not None:
        pytest.skip('compiled mmcv has no focal loss for the CPU')
    logits = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    target = torch.arange(9) % 4
    one_hot = torch.nn.functional.one_hot(target, 4)[:, :3]
    torch.testing.assert_close(
        sigmoid_focal_loss(logits, target, torch.ones(9)), py_sigmoid_focal_loss(logits, one_hot)
    )
