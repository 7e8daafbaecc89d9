# Runtime settings of all detection configs.
default_scope = 'mmdet'
custom_imports = dict(imports=['mm_frelu'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Keep the best checkpoint and the last two: the disk does not fill up, and a crash loses at most one epoch.
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        max_keep_ckpts=2,
        save_best='coco/bbox_mAP',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends, name='visualizer')
# Each log line has the remaining time (`eta`).
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'

tta_model = dict(
    type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
)

# The learning rate of the recipe is for 8 GPUs x 2 images; `tools/train.py --auto-scale-lr` scales it to yours.
auto_scale_lr = dict(enable=False, base_batch_size=16)

load_from = None
resume = False
