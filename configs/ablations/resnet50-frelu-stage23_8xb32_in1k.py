_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# FReLU in the paper's stages 2 and 3, which are layer1 and layer2 here.
model = dict(backbone=dict(act_stages=(0, 1)))
