_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# FReLU with squeeze-and-excitation; see README.md for the place and the width.
model = dict(
    backbone=dict(
        plugins=[
            dict(cfg=dict(type='mm_frelu.SqueezeExcitation', reduction=32), position='after_conv3')
        ]
    )
)
