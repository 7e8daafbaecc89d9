_base_ = '../imagenet/mobilenet-v2-100-relu_8xb128_in1k.py'

# LeakyReLU with torch's slope of 0.01.
model = dict(backbone=dict(act_cfg=dict(type='LeakyReLU')))
