# RetinaNet on MobileNetV1 0.75x (FReLU paper, table 2: ImageNet only). The activation is ReLU, the baseline.
_base_ = './retinanet_r50_fpn.py'

# The user must train the weights: the FReLU paper trained this network, but its weights are not published. They are in
# `weights`, or in the folder that the environment variable WEIGHTS_ROOT names.
weights_hint = (
    'No public weights fit this config. '
    'Train them: python tools/train.py configs/imagenet/mobilenet-v1-075-relu_8xb128_in1k.py, '
    'then copy work_dirs/mobilenet-v1-075-relu_8xb128_in1k/iter_300000.pth '
    r"""to {{$WEIGHTS_ROOT:weights}}/mobilenet_v1_x0_75_relu.pth. """
    'Or train from scratch: --cfg-options model.backbone.init_cfg=None '
    'model.backbone.frozen_stages=-1 model.backbone.norm_eval=False'
)
model = dict(
    # Like in the authors' training of light networks on ImageNet: unscaled BGR pixels, 0 to 255.
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        _delete_=True,
        type='mm_frelu.MobileNetV1',
        widen_factor=0.75,
        # Strides 8, 16 and 32.
        out_indices=(2, 3, 4),
        frozen_stages=0,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        act_cfg=dict(type='ReLU'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint=r"""{{$WEIGHTS_ROOT:weights}}/mobilenet_v1_x0_75_relu.pth""",
            prefix='backbone.',
        ),
    ),
    neck=dict(in_channels=[192, 384, 768], start_level=0),
)
