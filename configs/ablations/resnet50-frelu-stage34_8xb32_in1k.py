_base_ = '../imagenet/resnet50-frelu_8xb32_in1k.py'

# FReLU in the paper's stages 3 and 4, which are layer2 and layer3 here.
model = dict(backbone=dict(act_stages=(1, 2)))
