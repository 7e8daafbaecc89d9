# A RetinaNet small enough to learn the drawn street scenes from nothing in about two minutes on two CPU cores.
_base_ = [
    '../_base_/models/retinanet_r50_fpn.py',
    '../_base_/datasets/street_scenes_detection.py',
    '../_base_/det_runtime.py',
]

# What to turn for speed or accuracy.
max_iters = 350
val_interval = 350
learning_rate = 0.003
fpn_channels = 48
stacked_convs = 2

model = dict(
    # A quarter as wide as ResNet-18: 16 channels in layer1, 128 in layer4. From scratch, so nothing is frozen.
    backbone=dict(
        depth=18,
        base_channels=16,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    # Pictures of 256x128 hold things of 6 to 100 pixels: levels of stride 4 to 32, anchors from 8 pixels on.
    neck=dict(
        in_channels=[16, 32, 64, 128],
        out_channels=fpn_channels,
        start_level=0,
        add_extra_convs=False,
        num_outs=4,
        norm_cfg=dict(type='BN', requires_grad=True),
    ),
    bbox_head=dict(
        num_classes=10,
        in_channels=fpn_channels,
        feat_channels=fpn_channels,
        stacked_convs=stacked_convs,
        # Training from nothing needs norms in the head; levels share it, so norms of groups, not of batches.
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        anchor_generator=dict(octave_base_scale=2, scales_per_octave=2, strides=[4, 8, 16, 32]),
    ),
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
    clip_grad=dict(max_norm=10, norm_type=2),
)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=val_interval, max_keep_ckpts=1),
)
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=8)
randomness = dict(seed=0)
