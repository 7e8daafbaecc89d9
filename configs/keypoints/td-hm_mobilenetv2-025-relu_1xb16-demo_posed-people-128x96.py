# Demo on generated people, with a quarter of the width, crops of 128x96 and a narrow head. It takes some minutes on a CPU.
_base_ = [
    '../_base_/models/keypoints_mobilenet-v2.py',
    '../_base_/datasets/posed_people_128x96.py',
    '../_base_/pose_runtime.py',
]

model = dict(
    backbone=dict(
        widen_factor=0.25,
        # The stride is 16, so a crop has 8x6 positions; two upsamplings lead to stride 4.
        out_indices=(4,),
    ),
    head=dict(
        in_channels=24,
        channels=(32, 32, 32),
        expansion=4,
        decoder=dict(input_size=(96, 128), heatmap_size=(24, 32), sigma=1.5),
    ),
)
train_dataloader = dict(batch_size=16)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', begin=0, end=20, by_epoch=True, milestones=[15, 18], gamma=0.1),
]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.003))
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=5))
