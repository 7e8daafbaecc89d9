_base_ = './_base_/resnet50_8xb32.py'

# Table 5, E: a depthwise convolution, then ReLU.
model = dict(backbone=dict(act_cfg=dict(type='FReLUAblation', form='relu')))
