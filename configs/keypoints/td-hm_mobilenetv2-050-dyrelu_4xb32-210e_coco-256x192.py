_base_ = './td-hm_mobilenetv2-050-relu_4xb32-210e_coco-256x192.py'

# DY-ReLU-B in the blocks of the backbone; the stem keeps ReLU. In the head DY-ReLU-C, which looks at each position too.
model = dict(
    backbone=dict(act_cfg=dict(type='DyReLUB')),
    head=dict(act_cfg=dict(type='DyReLUC')),
)
