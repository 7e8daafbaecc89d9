# Top-down keypoint model: MobileNetV2, and the head of the DY-ReLU paper with bilinear upsampling and inverted residual
# bottlenecks. All activations are ReLU, the baseline; configs replace them. The width of the head and its number of blocks are
# our choice. Nothing is pretrained: no weights with DY-ReLU are published, and the baseline must start in the same way.
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='mm_frelu.MobileNetV2',
        widen_factor=1.0,
        # Stride 32.
        out_indices=(6,),
        act_cfg=dict(type='ReLU'),
        base_act_cfg=dict(type='ReLU'),
    ),
    head=dict(
        type='mm_frelu.UpsamplingHead',
        in_channels=320,
        out_channels=17,
        channels=(128, 128, 128, 128),
        act_cfg=dict(type='ReLU'),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        # The same as the `codec` of the dataset. Sizes are (width, height) of the crops and of the heatmaps.
        decoder=dict(type='MSRAHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2),
    ),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True),
)
