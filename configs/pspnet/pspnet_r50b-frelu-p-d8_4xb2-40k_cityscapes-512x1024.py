_base_ = './pspnet_r50b-relu-d8_4xb2-40k_cityscapes-512x1024.py'

# One window in each block, after the 3x3 convolution. Windows start at zero, see README.md.
model = dict(backbone=dict(act_cfg=dict(type='FReLU', init='identity'), act_sites='partial'))
