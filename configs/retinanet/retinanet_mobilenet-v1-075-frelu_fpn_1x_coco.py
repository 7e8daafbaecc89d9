_base_ = './retinanet_mobilenet-v1-075-relu_fpn_1x_coco.py'

# A 3x3 window after every convolution of the 13 blocks. Weights of its own, see README.md.
weights_hint = (
    'No public weights fit this config. '
    'Train them: python tools/train.py configs/imagenet/mobilenet-v1-075-frelu_8xb128_in1k.py, '
    'then copy work_dirs/mobilenet-v1-075-frelu_8xb128_in1k/iter_300000.pth '
    r"""to {{$WEIGHTS_ROOT:weights}}/mobilenet_v1_x0_75_frelu.pth. """
    'Or train from nothing: --cfg-options model.backbone.init_cfg=None '
    'model.backbone.frozen_stages=-1 model.backbone.norm_eval=False'
)
model = dict(
    backbone=dict(
        act_cfg=dict(type='FReLU'),
        init_cfg=dict(checkpoint=r"""{{$WEIGHTS_ROOT:weights}}/mobilenet_v1_x0_75_frelu.pth"""),
    )
)
