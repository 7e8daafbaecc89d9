# PSPNet on MobileNetV2 1.0x with output stride 8, and strides and dilations like in mmseg. The activation is ReLU, the
# baseline.
_base_ = './pspnet_r50b-d8.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mm_frelu.MobileNetV2',
        widen_factor=1.0,
        strides=(1, 2, 2, 1, 1, 1, 1),
        dilations=(1, 1, 1, 2, 2, 4, 4),
        out_indices=(1, 2, 4, 6),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        # The weights were trained with ReLU6. Activations that start as ReLU are compared with ReLU; the stem keeps ReLU6.
        act_cfg=dict(type='ReLU'),
        init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2'),
    ),
    decode_head=dict(in_channels=320),
    auxiliary_head=dict(in_channels=96),
)
