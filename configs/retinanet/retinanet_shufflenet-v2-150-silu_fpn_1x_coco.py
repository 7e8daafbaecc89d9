_base_ = './retinanet_shufflenet-v2-150-relu_fpn_1x_coco.py'

# SiLU is what the FReLU paper calls Swish. Weights of its own, see README.md.
weights_hint = (
    'No public weights fit this config. '
    'Train them: python tools/train.py configs/imagenet/shufflenet-v2-150-silu_8xb128_in1k.py, '
    'then copy work_dirs/shufflenet-v2-150-silu_8xb128_in1k/iter_300000.pth '
    r"""to {{$WEIGHTS_ROOT:weights}}/shufflenet_v2_x1_5_silu.pth. """
    'Or train from nothing: --cfg-options model.backbone.init_cfg=None '
    'model.backbone.frozen_stages=-1 model.backbone.norm_eval=False'
)
model = dict(
    backbone=dict(
        act_cfg=dict(type='SiLU'),
        init_cfg=dict(checkpoint=r"""{{$WEIGHTS_ROOT:weights}}/shufflenet_v2_x1_5_silu.pth"""),
    )
)
