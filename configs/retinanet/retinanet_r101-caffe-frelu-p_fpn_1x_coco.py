_base_ = './retinanet_r101-caffe-relu_fpn_1x_coco.py'

# One window in each block, after the 3x3 convolution. Windows start at zero, see README.md.
model = dict(
    backbone=dict(
        # The windows' norms learn, although the backbone's own norms are frozen.
        act_cfg=dict(type='FReLU', init='identity', norm_cfg=dict(type='BN', requires_grad=True)),
        act_sites='partial',
    )
)
