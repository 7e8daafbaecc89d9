_base_ = '../imagenet/mobilenet-v2-100-relu_8xb128_in1k.py'

# Coefficients of B, scaled by an attention over positions.
model = dict(backbone=dict(act_cfg=dict(type='DyReLUC')))
