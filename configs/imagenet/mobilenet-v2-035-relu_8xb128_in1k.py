_base_ = './mobilenet-v2-100-relu_8xb128_in1k.py'

model = dict(backbone=dict(widen_factor=0.35))
