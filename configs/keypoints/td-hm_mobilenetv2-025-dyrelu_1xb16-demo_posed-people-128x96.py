_base_ = './td-hm_mobilenetv2-025-relu_1xb16-demo_posed-people-128x96.py'

# The blocks of the backbone have DY-ReLU-B; the stem keeps ReLU. The head has DY-ReLU-C, which also depends on the position.
model = dict(
    backbone=dict(act_cfg=dict(type='DyReLUB')),
    head=dict(act_cfg=dict(type='DyReLUC')),
)
