_base_ = './_base_/resnet50_8xb32.py'

# Table 5, B: the condition is max pooling, without parameters and without a norm.
model = dict(backbone=dict(act_cfg=dict(type='FReLUAblation', condition='max_pool')))
