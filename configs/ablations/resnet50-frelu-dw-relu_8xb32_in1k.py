_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# Table 5, E: a depthwise convolution, then ReLU.
model = dict(backbone=dict(act_cfg=dict(type='FReLUAblation', form='relu')))
