_base_ = '../imagenet/mobilenet-v2-100-relu_8xb128_in1k.py'

# RReLU with torch's slopes, random from 1/8 to 1/3 in training, their mean in evaluation.
model = dict(backbone=dict(act_cfg=dict(type='RReLU')))
