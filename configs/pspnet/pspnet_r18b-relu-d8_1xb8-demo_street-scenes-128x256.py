# A PSPNet small enough to learn the drawn street scenes from nothing in about two minutes on two CPU cores.
_base_ = [
    '../_base_/models/pspnet_r50b-d8.py',
    '../_base_/datasets/street_scenes_segmentation.py',
    '../_base_/seg_runtime.py',
]

# What to turn for speed or accuracy.
max_iters = 300
val_interval = 300
learning_rate = 0.004

# One process, small batches: no SyncBN.
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    data_preprocessor=dict(size=(128, 256)),
    # A quarter as wide as ResNet-18: 16 channels in layer1, 128 in layer4.
    backbone=dict(depth=18, base_channels=16, norm_cfg=norm_cfg, init_cfg=None),
    decode_head=dict(in_channels=128, channels=64, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=64, channels=32, norm_cfg=norm_cfg),
)

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=val_interval)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=20, by_epoch=False),
    dict(type='PolyLR', eta_min=0.0, power=0.9, begin=20, end=max_iters, by_epoch=False),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=learning_rate, weight_decay=0.01),
)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=val_interval, max_keep_ckpts=1),
)
randomness = dict(seed=0)
