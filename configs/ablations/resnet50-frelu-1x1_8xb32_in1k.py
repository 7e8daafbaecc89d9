_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# Window of 1x1: a condition for each channel without its surroundings.
model = dict(backbone=dict(act_cfg=dict(kernel_size=1)))
