_base_ = './td-hm_mobilenetv2-050-relu_4xb32-210e_coco-256x192.py'

# The blocks of the backbone have DY-ReLU-B; the stem keeps ReLU. The head has DY-ReLU-C, which also depends on the position.
model = dict(
    backbone=dict(act_cfg=dict(type='DyReLUB')),
    head=dict(act_cfg=dict(type='DyReLUC')),
)
