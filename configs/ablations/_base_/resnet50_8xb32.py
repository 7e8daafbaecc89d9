# ResNet-50 with FReLU and its recipe: 600,000 steps of 256 images, learning rate falling in a straight line to 0.
_base_ = './imagenet.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mm_frelu.ResNet', depth=50, out_indices=(3,), act_cfg=dict(type='FReLU')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
    ),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
    constructor='mm_frelu.WeightDecayConstructor',
)
param_scheduler = dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=600000, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=600000, val_interval=10000)
auto_scale_lr = dict(enable=False, base_batch_size=256)
