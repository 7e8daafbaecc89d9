_base_ = './_base_/resnet50_8xb32.py'

# Window of 7x7.
model = dict(backbone=dict(act_cfg=dict(kernel_size=7)))
