_base_ = './_base_/resnet50_8xb32.py'

# FReLU after the 3x3 convolution of a block.
model = dict(backbone=dict(act_sites=('act2',)))
