_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# FReLU in the paper's stage 2 alone, which is layer1 here.
model = dict(backbone=dict(act_stages=(0,)))
