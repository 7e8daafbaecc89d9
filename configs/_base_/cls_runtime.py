# What every ImageNet config shares that is neither data, model nor schedule.
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mm_frelu'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # The best and the last two. The interval is that of the validation in the schedules.
    checkpoint=dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=10000,
        max_keep_ckpts=2,
        save_best='accuracy/top1',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='VisualizationHook', enable=False),
)

env_cfg = dict(
    # Pictures all have one size, so cuDNN may look for its fastest convolution once.
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends, name='visualizer')
# Each log line says the time that is left (`eta`).
log_processor = dict(by_epoch=False)
log_level = 'INFO'

tta_model = dict(type='AverageClsScoreTTA')

load_from = None
resume = False
