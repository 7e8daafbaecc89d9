_base_ = './retinanet_r50-relu_fpn_1x_coco.py'

# Coefficients from the whole image, one set a channel. They start as exactly ReLU. Not in the paper, see README.md.
model = dict(backbone=dict(act_cfg=dict(type='DyReLUB', init='identity')))
