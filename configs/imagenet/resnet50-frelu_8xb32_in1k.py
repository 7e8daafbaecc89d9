_base_ = './resnet50-relu_8xb32_in1k.py'

# Trained from scratch, so the windows start as in the paper; after every convolution of layer1 to layer3.
model = dict(backbone=dict(act_cfg=dict(type='FReLU')))
