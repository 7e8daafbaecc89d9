_base_ = '../imagenet/mobilenet-v1-075-frelu_8xb128_in1k.py'

# FReLU after the depthwise 3x3 convolution of a block.
model = dict(backbone=dict(act_sites=('act1',)))
