_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# Table 5, D: the condition is added to the input instead of compared with it.
model = dict(backbone=dict(act_cfg=dict(type='FReLUAblation', form='sum')))
