_base_ = './_base_/resnet50_8xb32.py'

# FReLU in the paper's stages 2 and 3, which are layer1 and layer2 here.
model = dict(backbone=dict(act_stages=(0, 1)))
