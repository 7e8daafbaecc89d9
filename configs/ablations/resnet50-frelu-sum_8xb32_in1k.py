_base_ = './_base_/resnet50_8xb32.py'

# Table 5, D: the condition is added to the input instead of compared with it.
model = dict(backbone=dict(act_cfg=dict(type='FReLUAblation', form='sum')))
