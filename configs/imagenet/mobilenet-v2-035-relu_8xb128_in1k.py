_base_ = [
    '../_base_/models/classifier_light.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_300k.py',
    '../_base_/cls_runtime.py',
]

train_dataloader = dict(batch_size=128)
model = dict(
    backbone=dict(
        type='mm_frelu.MobileNetV2',
        widen_factor=0.35,
        out_indices=(7,),
        act_cfg=dict(type='ReLU'),
        # Not ReLU6: the activation under study should be the only difference to ReLU.
        base_act_cfg=dict(type='ReLU'),
    ),
    head=dict(in_channels=1280),
)
