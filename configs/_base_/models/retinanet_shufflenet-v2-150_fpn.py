# RetinaNet on ShuffleNetV2 1.5x (FReLU paper, table 3). The activation is ReLU, the baseline.
_base_ = './retinanet_r50_fpn.py'

# The user must train the weights: the authors published only the 0.5x network. They are in `weights`, or in the folder
# that the environment variable WEIGHTS_ROOT names.
weights_hint = (
    'No public weights fit this config. '
    'Train them: python tools/train.py configs/imagenet/shufflenet-v2-150-relu_8xb128_in1k.py, '
    'then copy work_dirs/shufflenet-v2-150-relu_8xb128_in1k/iter_300000.pth '
    r"""to {{$WEIGHTS_ROOT:weights}}/shufflenet_v2_x1_5_relu.pth. """
    'Or train from scratch: --cfg-options model.backbone.init_cfg=None '
    'model.backbone.frozen_stages=-1 model.backbone.norm_eval=False'
)
model = dict(
    # Like in the authors' training on ImageNet: unscaled BGR pixels, 0 to 255.
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        _delete_=True,
        type='mm_frelu.ShuffleNetV2',
        widen_factor=1.5,
        out_indices=(0, 1, 2),
        frozen_stages=0,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        act_cfg=dict(type='ReLU'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint=r"""{{$WEIGHTS_ROOT:weights}}/shufflenet_v2_x1_5_relu.pth""",
            prefix='backbone.',
        ),
    ),
    # The features have strides 8, 16 and 32, so FPN starts at the first of them.
    neck=dict(in_channels=[176, 352, 704], start_level=0),
)
