_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# Window of 5x5.
model = dict(backbone=dict(act_cfg=dict(kernel_size=5)))
