_base_ = './retinanet_mobilenet-v1-075-relu_fpn_1x_coco.py'

# A 3x3 window after every convolution of the 13 blocks. Weights of its own, see README.md.
weights_hint = (
    'No public weights fit this config: train its backbone on ImageNet in mmpretrain '
    'and copy the last checkpoint to {{$WEIGHTS_ROOT:weights}}/mobilenet_v1_x0_75_frelu.pth, '
    'or train from nothing with --cfg-options model.backbone.init_cfg=None '
    'model.backbone.frozen_stages=-1 model.backbone.norm_eval=False'
)
model = dict(
    backbone=dict(
        act_cfg=dict(type='FReLU'),
        init_cfg=dict(checkpoint='{{$WEIGHTS_ROOT:weights}}/mobilenet_v1_x0_75_frelu.pth'),
    )
)
