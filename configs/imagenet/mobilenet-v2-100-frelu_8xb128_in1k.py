_base_ = './mobilenet-v2-100-relu_8xb128_in1k.py'

# Behind the 1x1 that expands and behind the depthwise 3x3 of each block.
model = dict(backbone=dict(act_cfg=dict(type='FReLU')))
