_base_ = '../imagenet/mobilenet-v2-100-relu_8xb128_in1k.py'

# Coefficients shared by positions and channels.
model = dict(backbone=dict(act_cfg=dict(type='DyReLUA')))
