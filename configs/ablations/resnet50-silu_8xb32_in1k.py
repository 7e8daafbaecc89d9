_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# Table 1: Swish, which is called SiLU here.
model = dict(backbone=dict(act_cfg=dict(type='SiLU')))
