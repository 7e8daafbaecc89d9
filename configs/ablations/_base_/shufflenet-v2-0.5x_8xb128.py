# ShuffleNetV2 0.5x with light FReLU and its recipe: 300,000 steps of 1024 images, label smoothing 0.1.
_base_ = './imagenet.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mm_frelu.ShuffleNetV2', widen_factor=0.5, act_cfg=dict(type='LightFReLU')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        topk=(1, 5),
    ),
)

train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=4e-5),
    constructor='mm_frelu.WeightDecayConstructor',
)
param_scheduler = dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=300000, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=300000, val_interval=10000)
auto_scale_lr = dict(enable=False, base_batch_size=1024)
