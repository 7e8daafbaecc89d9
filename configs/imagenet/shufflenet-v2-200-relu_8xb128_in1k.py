_base_ = './shufflenet-v2-100-relu_8xb128_in1k.py'

# The official code drops 0.2 in this width only.
model = dict(backbone=dict(widen_factor=2.0), neck=dict(drop_rate=0.2), head=dict(in_channels=2048))
