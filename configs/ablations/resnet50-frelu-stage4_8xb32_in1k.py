_base_ = './_base_/resnet50_8xb32.py'

# FReLU in the paper's stage 4 alone, which is layer3 here.
model = dict(backbone=dict(act_stages=(2,)))
