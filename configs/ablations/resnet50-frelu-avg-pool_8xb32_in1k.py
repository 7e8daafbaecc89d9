_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# Table 5, C: the condition is average pooling, without parameters and without a norm.
model = dict(backbone=dict(act_cfg=dict(type='FReLUAblation', condition='avg_pool')))
