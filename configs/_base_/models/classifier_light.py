# A classifier on a light network, with label smoothing like in the official code. Configs set the backbone.
model = dict(
    type='ImageClassifier',
    neck=dict(type='mm_frelu.DropoutPooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        # Target: (1 - a) for the true class plus a / K for every class.
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        topk=(1, 5),
    ),
)
