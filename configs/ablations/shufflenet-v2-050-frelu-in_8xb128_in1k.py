_base_ = '../imagenet/shufflenet-v2-050-frelu_8xb128_in1k.py'

# Instance norm behind the windows.
model = dict(backbone=dict(act_cfg=dict(norm_cfg=dict(type='IN'))))
