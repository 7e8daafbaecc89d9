_base_ = './shufflenet-v2-150-relu_8xb128_in1k.py'

# Swish, for the paper's RetinaNet table.
model = dict(backbone=dict(act_cfg=dict(type='SiLU')))
