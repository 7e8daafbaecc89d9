# Runtime settings of all segmentation configs.
default_scope = 'mmseg'
custom_imports = dict(imports=['mm_frelu'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Keep the best checkpoint and the last two. The interval equals the validation interval of the schedules.
    checkpoint=dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=4000,
        max_keep_ckpts=2,
        save_best='mIoU',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)

env_cfg = dict(
    # All crops have the same size, so cuDNN can search for its fastest convolution once.
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
# Each log line has the remaining time (`eta`).
log_processor = dict(by_epoch=False)
log_level = 'INFO'

tta_model = dict(type='SegTTAModel')

# The learning rate of the recipe is for 4 GPUs x 2 images; `tools/train.py --auto-scale-lr` scales it to yours.
auto_scale_lr = dict(enable=False, base_batch_size=8)

load_from = None
resume = False
