_base_ = './td-hm_mobilenetv3-large-hswish_4xb32-210e_coco-256x192.py'

# DY-ReLU-B in the blocks of the backbone, which lose squeeze-and-excitation with it, as in the paper; the stem keeps h-swish.
# In the head DY-ReLU-C.
model = dict(
    backbone=dict(act_cfg=dict(_delete_=True, type='DyReLUB')),
    head=dict(act_cfg=dict(type='DyReLUC')),
)
