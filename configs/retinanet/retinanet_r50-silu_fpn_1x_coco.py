_base_ = './retinanet_r50-relu_fpn_1x_coco.py'

# SiLU is what the FReLU paper calls Swish. It starts from ReLU's weights, which does not do it justice: README.md.
model = dict(backbone=dict(act_cfg=dict(type='SiLU')))
