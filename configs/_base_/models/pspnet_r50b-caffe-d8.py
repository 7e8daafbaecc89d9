# PSPNet on a caffe-style ResNet-50, like in the FReLU authors' ImageNet training: stride in the first 1x1 of a block,
# unscaled BGR pixels, 0 to 255. The activation is ReLU, the baseline.
_base_ = './pspnet_r50b-d8.py'

# ReLU weights of this recipe are not published, so the user must train those of the baseline. They are in `weights`, or
# in the folder that the environment variable WEIGHTS_ROOT names.
weights_hint = (
    'This baseline needs ReLU weights of the official recipe, which are not published. '
    'Train them: python tools/train.py configs/imagenet/resnet50-caffe-relu_8xb32_in1k.py, '
    'then copy work_dirs/resnet50-caffe-relu_8xb32_in1k/iter_600000.pth '
    r"""to {{$WEIGHTS_ROOT:weights}}/resnet50_relu.pth"""
)
model = dict(
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        style='caffe',
        init_cfg=dict(
            checkpoint=r"""{{$WEIGHTS_ROOT:weights}}/resnet50_relu.pth""", prefix='backbone.'
        ),
    ),
)
