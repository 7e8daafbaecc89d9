_base_ = '../imagenet/mobilenet-v2-035-relu_8xb128_in1k.py'

# Coefficients shared by positions.
model = dict(backbone=dict(act_cfg=dict(type='DyReLUB')))
