# PSPNet on MobileNetV1 0.75x with output stride 8. The activation is ReLU, the baseline.
_base_ = './pspnet_r50b-d8.py'

# The user must train the weights: the FReLU paper trained this network, but its weights are not published. They are in
# `weights`, or in the folder that the environment variable WEIGHTS_ROOT names.
weights_hint = (
    'No public weights fit this config. '
    'Train them: python tools/train.py configs/imagenet/mobilenet-v1-075-relu_8xb128_in1k.py, '
    'then copy work_dirs/mobilenet-v1-075-relu_8xb128_in1k/iter_300000.pth '
    r"""to {{$WEIGHTS_ROOT:weights}}/mobilenet_v1_x0_75_relu.pth. """
    'Or train from scratch: --cfg-options model.backbone.init_cfg=None'
)
model = dict(
    # Like in the authors' training of light networks on ImageNet: unscaled BGR pixels, 0 to 255.
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        _delete_=True,
        type='mm_frelu.MobileNetV1',
        widen_factor=0.75,
        strides=(1, 2, 2, 1, 1),
        dilations=(1, 1, 1, 2, 4),
        out_indices=(1, 2, 3, 4),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        act_cfg=dict(type='ReLU'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint=r"""{{$WEIGHTS_ROOT:weights}}/mobilenet_v1_x0_75_relu.pth""",
            prefix='backbone.',
        ),
    ),
    decode_head=dict(in_channels=768),
    auxiliary_head=dict(in_channels=384),
)
