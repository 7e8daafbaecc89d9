# PSPNet on a caffe-style ResNet-50 as the FReLU authors train it on ImageNet: stride in the first 1x1 of a block, BGR
# pixels of 0 to 255 as they are. ReLU here: this is the baseline.
_base_ = './pspnet_r50b-d8.py'

# Nobody publishes ReLU weights of this recipe, so the baseline needs the user's own. They lie in `weights`, or in the
# folder named by the environment variable WEIGHTS_ROOT.
weights_hint = (
    'This baseline is made for ReLU weights of the official recipe, which nobody publishes. '
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
