_base_ = [
    '../_base_/models/classifier_light.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_300k.py',
    '../_base_/cls_runtime.py',
]

# BGR pixels of 0 to 255 as they are: what the official code trains on.
data_preprocessor = dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0], to_rgb=False)
train_dataloader = dict(batch_size=128)
model = dict(
    backbone=dict(type='mm_frelu.ShuffleNetV2', widen_factor=1.0, act_cfg=dict(type='ReLU'))
)
