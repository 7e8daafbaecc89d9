# Runtime settings of all keypoint configs.
default_scope = 'mmpose'
# The second module contains the head and needs MMPose, see docs/installation.md.
custom_imports = dict(imports=['mm_frelu', 'mm_frelu.keypoints'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Keep the best checkpoint and the last two. The interval equals the validation interval of the schedules.
    checkpoint=dict(
        type='CheckpointHook',
        interval=10,
        max_keep_ckpts=2,
        save_best='coco/AP',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='PoseVisualizationHook', enable=False),
)

env_cfg = dict(
    # All crops have the same size, so cuDNN searches for the fastest convolution only once.
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='PoseLocalVisualizer', vis_backends=vis_backends, name='visualizer')
# Each log line has the remaining time (`eta`).
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'

# The learning rate is for 4 GPUs x 32 people; `tools/train.py --auto-scale-lr` scales it to yours.
auto_scale_lr = dict(enable=False, base_batch_size=128)

load_from = None
resume = False
