_base_ = '../imagenet/mobilenet-v2-035-relu_8xb128_in1k.py'

# A slope for each channel, 0.25 at the start; slopes do not decay.
model = dict(backbone=dict(act_cfg=dict(type='PReLU')))
