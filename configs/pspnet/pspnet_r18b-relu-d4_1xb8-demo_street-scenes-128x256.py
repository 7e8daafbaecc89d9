# A PSPNet small enough to learn the drawn street scenes from nothing in about two minutes on two CPU cores.
_base_ = [
    '../_base_/models/pspnet_r50b-d8.py',
    '../_base_/datasets/street_scenes_segmentation.py',
    '../_base_/seg_runtime.py',
]

# What to turn for speed or accuracy.
max_iters = 280
val_interval = 280
learning_rate = 0.004

# Three hundred steps are few: without a weight, thin and rare classes would not be learnt in them.
rare = 4.0
class_weight = [
    1.0,
    1.0,
    1.0,
    rare,
    rare,
    rare,
    rare,
    rare,
    1.0,
    1.0,
    1.0,
    rare,
    rare,
    1.0,
    2.0,
    2.0,
    2.0,
    rare,
    rare,
]

# One process, small batches: no SyncBN.
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    data_preprocessor=dict(size=(128, 256)),
    # A quarter as wide as ResNet-18 (16 channels in layer1, 64 in layer3) and without layer4. Output stride 4, because
    # a pole in a picture of this size is one or two pixels wide.
    backbone=dict(
        depth=18,
        base_channels=16,
        num_stages=3,
        strides=(1, 1, 1),
        dilations=(1, 2, 4),
        out_indices=(0, 1, 2),
        norm_cfg=norm_cfg,
        init_cfg=None,
    ),
    decode_head=dict(
        in_channels=64,
        in_index=2,
        channels=32,
        norm_cfg=norm_cfg,
        # MMEngine averages the losses of the pixels. The weighted mean of mmseg 1.2.2 fails on ignored labels.
        loss_decode=dict(class_weight=class_weight, reduction='none'),
    ),
    auxiliary_head=None,
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
