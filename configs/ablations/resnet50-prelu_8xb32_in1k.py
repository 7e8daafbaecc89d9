_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# Table 1: PReLU, one slope per channel, 0.25 to begin with and without weight decay.
model = dict(backbone=dict(act_cfg=dict(type='PReLU')))
