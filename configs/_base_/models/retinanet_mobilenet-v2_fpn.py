# RetinaNet on MobileNetV2 1.0x that is told its activation. ReLU here: this is the baseline.
_base_ = './retinanet_r50_fpn.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mm_frelu.MobileNetV2',
        widen_factor=1.0,
        # Strides 8, 16 and 32.
        out_indices=(2, 4, 6),
        # As in the ResNet configs: only the stem is frozen, and windows measure statistics of their own.
        frozen_stages=0,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        act_norm_eval=False,
        # The weights were trained with ReLU6. What starts as ReLU is compared with ReLU; the stem keeps ReLU6.
        act_cfg=dict(type='ReLU'),
        init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2'),
    ),
    neck=dict(in_channels=[32, 96, 320], start_level=0),
)
