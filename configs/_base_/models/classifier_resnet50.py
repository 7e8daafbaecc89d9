# A classifier on ResNet-50. The activation is ReLU, the baseline; configs replace it.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mm_frelu.ResNet',
        depth=50,
        num_stages=4,
        out_indices=(3,),
        style='pytorch',
        # The official code initialises the scale of every norm to 1.
        zero_init_residual=False,
        act_cfg=dict(type='ReLU'),
        act_sites='all',
    ),
    # The paper uses a dropout of 0.1, the released code 0.2.
    neck=dict(type='mm_frelu.DropoutPooling', drop_rate=0.1),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
    ),
)
