_base_ = './_base_/resnet50_8xb32.py'

# FReLU after the two 1x1 convolutions of a block: the second of them is followed by the addition.
model = dict(backbone=dict(act_sites=('act1', 'act3')))
