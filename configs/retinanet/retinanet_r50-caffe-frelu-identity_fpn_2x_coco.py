_base_ = './retinanet_r50-caffe-relu_fpn_2x_coco.py'

# The windows start at zero, so at step 0 this is its ReLU baseline; README.md says how to start from other weights.
model = dict(
    backbone=dict(
        # The windows' norms learn, although the backbone's own norms are frozen.
        act_cfg=dict(type='FReLU', init='identity', norm_cfg=dict(type='BN', requires_grad=True)),
    )
)
