_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# FReLU in the paper's stage 3 alone, which is layer2 here.
model = dict(backbone=dict(act_stages=(1,)))
