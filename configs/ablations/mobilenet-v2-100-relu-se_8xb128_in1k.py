_base_ = '../imagenet/mobilenet-v2-100-relu_8xb128_in1k.py'

# ReLU with squeeze-and-excitation at each site, as wide as DY-ReLU's hyper function.
model = dict(backbone=dict(act_cfg=dict(type='SEReLU', reduction=8)))
