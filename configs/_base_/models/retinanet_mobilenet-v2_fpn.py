# RetinaNet on MobileNetV2 1.0x. The activation is ReLU, the baseline; configs replace it.
_base_ = './retinanet_r50_fpn.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mm_frelu.MobileNetV2',
        widen_factor=1.0,
        # Strides 8, 16 and 32.
        out_indices=(2, 4, 6),
        # Like in the ResNet configs, only the stem is frozen, and windows compute their own statistics.
        frozen_stages=0,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        act_norm_eval=False,
        # The weights were trained with ReLU6. Activations that start as ReLU are compared with ReLU; the stem keeps ReLU6.
        act_cfg=dict(type='ReLU'),
        init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2'),
    ),
    neck=dict(in_channels=[32, 96, 320], start_level=0),
)
