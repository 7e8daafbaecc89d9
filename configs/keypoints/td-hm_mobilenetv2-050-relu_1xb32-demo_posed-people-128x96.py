# A demo on generated people: half the width, an input of 128x96, a narrow head, some minutes on a CPU.
_base_ = [
    '../_base_/models/keypoints_mobilenet-v2.py',
    '../_base_/datasets/posed_people_128x96.py',
    '../_base_/pose_runtime.py',
]

model = dict(
    backbone=dict(
        widen_factor=0.5,
        # Stride 16, so that a crop of 128x96 gives 8x6 positions; two upsamplings lead to stride 4.
        out_indices=(4,),
    ),
    head=dict(
        in_channels=48,
        channels=(64, 64, 64),
        expansion=3,
        decoder=dict(input_size=(96, 128), heatmap_size=(24, 32), sigma=1.5),
    ),
)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', begin=0, end=30, by_epoch=True, milestones=[22, 28], gamma=0.1),
]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.002))
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(logger=dict(interval=5))
