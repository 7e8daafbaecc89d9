_base_ = './pspnet_r50b-relu-d8_4xb2-80k_cityscapes-769x769.py'

# One window in each block, after the 3x3 convolution. Windows start at zero, see README.md.
model = dict(backbone=dict(act_cfg=dict(type='FReLU', init='identity'), act_sites='partial'))
