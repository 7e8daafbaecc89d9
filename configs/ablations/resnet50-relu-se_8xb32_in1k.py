_base_ = './_base_/resnet50_8xb32.py'

# ReLU with squeeze-and-excitation; see README.md for the place and the width.
model = dict(
    backbone=dict(
        act_cfg=dict(type='ReLU'),
        plugins=[
            dict(cfg=dict(type='mm_frelu.SqueezeExcitation', reduction=32), position='after_conv3')
        ],
    )
)
