_base_ = './pspnet_r50b-relu-d8_4xb2-40k_cityscapes-512x1024.py'

# SiLU is what the FReLU paper calls Swish. It starts from ReLU's weights, which does not do it justice: README.md.
model = dict(backbone=dict(act_cfg=dict(type='SiLU')))
