_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# FReLU after the two 1x1 convolutions of a block: the second of them is followed by the addition.
model = dict(backbone=dict(act_sites=('act1', 'act3')))
