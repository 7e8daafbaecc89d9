# A classifier on a light network, with label smoothing as the official code has it. The config gives the backbone.
model = dict(
    type='ImageClassifier',
    neck=dict(type='mm_frelu.DropoutPooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        # (1 - a) of the truth and a / K of every class.
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        topk=(1, 5),
    ),
)
