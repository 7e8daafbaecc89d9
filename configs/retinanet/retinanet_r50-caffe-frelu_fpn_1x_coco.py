_base_ = './retinanet_r50-caffe-relu_fpn_1x_coco.py'

# The official weights, converted: in `weights`, or in the folder that the environment variable WEIGHTS_ROOT names.
weights_hint = (
    'This config is made for the official FReLU weights. To convert them: '
    r"""python tools/model_converters/megengine_to_mm.py res50_frelu.model {{$WEIGHTS_ROOT:weights}}/resnet50_frelu.pth"""
)
model = dict(
    # They were trained on BGR pixels of 0 to 255 as they are.
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0]),
    backbone=dict(
        act_cfg=dict(type='FReLU'),
        # Trained windows keep their statistics, as all pretrained norms do.
        act_norm_eval=True,
        init_cfg=dict(
            checkpoint=r"""{{$WEIGHTS_ROOT:weights}}/resnet50_frelu.pth""", prefix='backbone.'
        ),
    ),
)
