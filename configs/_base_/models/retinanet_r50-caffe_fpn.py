# RetinaNet on a caffe-style ResNet-50: stride in the first 1x1 of a block, BGR input without scaling, frozen norms.
_base_ = './retinanet_r50_fpn.py'

model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        # The caffe weights contain the scales of the norms, so these norms are not trained. `act_cfg.norm_cfg` gives the
        # windows their own trainable norms.
        norm_cfg=dict(requires_grad=False),
        style='caffe',
        init_cfg=dict(checkpoint='open-mmlab://detectron2/resnet50_caffe'),
    ),
)
