_base_ = './pspnet_mobilenet-v2-relu-d8_4xb2-80k_cityscapes-512x1024.py'

# Coefficients from the whole image, one set a channel. They start as exactly ReLU. Not in the paper, see README.md.
model = dict(backbone=dict(act_cfg=dict(type='DyReLUB', init='identity')))
