_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# Table 5, B: the condition is max pooling, without parameters and without a norm.
model = dict(backbone=dict(act_cfg=dict(type='FReLUAblation', condition='max_pool')))
