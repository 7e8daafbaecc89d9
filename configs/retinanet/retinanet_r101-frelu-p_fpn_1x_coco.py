_base_ = './retinanet_r101-relu_fpn_1x_coco.py'

# One window in each block, after the 3x3 convolution. Windows start at zero, see README.md.
model = dict(
    backbone=dict(
        act_cfg=dict(type='FReLU', init='identity'),
        act_sites='partial',
    )
)
