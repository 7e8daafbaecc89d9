_base_ = './td-hm_mobilenetv3-small-hswish_4xb32-210e_coco-256x192.py'

# The blocks of the backbone have DY-ReLU-B and no squeeze-and-excitation, as in the paper; the stem keeps h-swish. The head
# has DY-ReLU-C.
model = dict(
    backbone=dict(act_cfg=dict(_delete_=True, type='DyReLUB')),
    head=dict(act_cfg=dict(type='DyReLUC')),
)
