_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# A 1x3 and a 3x1 window, added.
model = dict(backbone=dict(act_cfg=dict(type='LightFReLU', combine='sum')))
