_base_ = './_base_/resnet50_8xb32.py'

# A 1x3 and a 3x1 window, added.
model = dict(backbone=dict(act_cfg=dict(type='LightFReLU', combine='sum')))
