_base_ = './_base_/resnet50_8xb32.py'

# Window of 1x1: a condition for each channel without its surroundings.
model = dict(backbone=dict(act_cfg=dict(kernel_size=1)))
