_base_ = './_base_/resnet50_8xb32.py'

# Table 5, C: the condition is average pooling, without parameters and without a norm.
model = dict(backbone=dict(act_cfg=dict(type='FReLUAblation', condition='avg_pool')))
