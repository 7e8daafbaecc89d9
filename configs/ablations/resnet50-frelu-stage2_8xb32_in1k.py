_base_ = './_base_/resnet50_8xb32.py'

# FReLU in the paper's stage 2 alone, which is layer1 here.
model = dict(backbone=dict(act_stages=(0,)))
