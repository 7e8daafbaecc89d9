_base_ = './mobilenet-v1-075-relu_8xb128_in1k.py'

# Behind the depthwise 3x3 and behind the 1x1 of each block, which the paper's ablation found best.
model = dict(backbone=dict(act_cfg=dict(type='FReLU')))
