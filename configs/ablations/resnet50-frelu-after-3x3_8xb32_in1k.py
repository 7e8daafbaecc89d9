_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# FReLU after the 3x3 convolution of a block.
model = dict(backbone=dict(act_sites=('act2',)))
