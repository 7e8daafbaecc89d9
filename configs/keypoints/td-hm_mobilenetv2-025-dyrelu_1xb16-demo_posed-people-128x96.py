_base_ = './td-hm_mobilenetv2-025-relu_1xb16-demo_posed-people-128x96.py'

# DY-ReLU-B in the blocks of the backbone; the stem keeps ReLU. In the head DY-ReLU-C, which looks at each position too.
model = dict(
    backbone=dict(act_cfg=dict(type='DyReLUB')),
    head=dict(act_cfg=dict(type='DyReLUC')),
)
