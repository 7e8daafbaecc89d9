# Top-down keypoint model with MobileNetV3 as in its paper: ReLU and h-swish, with squeeze-and-excitation. The head has
# h-swish. This is the baseline.
_base_ = './keypoints_mobilenet-v2.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mm_frelu.MobileNetV3',
        arch='large',
        # The last block, stride 32.
        out_indices=(15,),
        act_cfg=None,
    ),
    head=dict(in_channels=160, act_cfg=dict(type='HSwish')),
)
