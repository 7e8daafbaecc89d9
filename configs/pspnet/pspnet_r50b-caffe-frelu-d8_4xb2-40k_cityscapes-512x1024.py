_base_ = './pspnet_r50b-caffe-relu-d8_4xb2-40k_cityscapes-512x1024.py'

# The official weights, converted: in `weights`, or in the folder that the environment variable WEIGHTS_ROOT names.
weights_hint = (
    'This config is made for the official FReLU weights. To convert them: '
    r"""python tools/model_converters/megengine_to_mm.py res50_frelu.model {{$WEIGHTS_ROOT:weights}}/resnet50_frelu.pth"""
)
model = dict(
    backbone=dict(
        act_cfg=dict(type='FReLU'),
        init_cfg=dict(checkpoint=r"""{{$WEIGHTS_ROOT:weights}}/resnet50_frelu.pth"""),
    )
)
