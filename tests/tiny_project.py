"""Tiny configs for the generated street scenes, and functions that call the tools, for the tests of the tools."""

import importlib.util
import os
import pprint
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

REPOSITORY = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 128, 64
CLASSES = (
    'person',
    'rider',
    'car',
    'truck',
    'bus',
    'train',
    'motorcycle',
    'bicycle',
    'traffic light',
    'traffic sign',
)


def _runtime(scope: str, iters: int) -> Dict[str, Any]:
    return dict(
        default_scope=scope,
        custom_imports=dict(imports=['mm_frelu'], allow_failed_imports=False),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=iters, val_interval=iters),
        val_cfg=dict(type='ValLoop'),
        test_cfg=dict(type='TestLoop'),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        default_hooks=dict(
            timer=dict(type='IterTimerHook'),
            logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=iters),
            sampler_seed=dict(type='DistSamplerSeedHook'),
        ),
        log_processor=dict(by_epoch=False),
        randomness=dict(seed=0),
        auto_scale_lr=dict(enable=False, base_batch_size=8),
    )


def _backbone(activation: str) -> Dict[str, Any]:
    return dict(
        type='mm_frelu.ResNet',
        depth=18,
        base_channels=8,
        stem_channels=8,
        norm_cfg=dict(type='SyncBN'),
        act_cfg=dict(type=activation),
    )


def _loader(dataset: Dict[str, Any], train: bool, workers: int) -> Dict[str, Any]:
    sampler = dict(type='InfiniteSampler' if train else 'DefaultSampler', shuffle=train)
    return dict(batch_size=2 if train else 1, num_workers=workers, sampler=sampler, dataset=dataset)


def segmentation(root: Path, activation: str = 'FReLU', iters: int = 2) -> Dict[str, Any]:
    """PSPNet on ResNet-18 with 8 channels, SyncBN everywhere."""
    head = dict(channels=8, norm_cfg=dict(type='SyncBN'), num_classes=19, align_corners=False)
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='mm_frelu.CheckLabelIds', num_classes=19),
        dict(type='PackSegInputs'),
    ]
    loaders = {}
    for split in ('train', 'val'):
        dataset = dict(
            type='CityscapesDataset',
            data_root=str(root),
            data_prefix=dict(img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine/{split}'),
            pipeline=load,
        )
        loaders[f'{split}_dataloader'] = _loader(dataset, split == 'train', 0)
    return dict(
        **_runtime('mmseg', iters),
        model=dict(
            type='EncoderDecoder',
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
                size=(HEIGHT, WIDTH),
            ),
            backbone=_backbone(activation),
            decode_head=dict(
                type='PSPHead', in_channels=64, in_index=3, pool_scales=(1, 2), **head
            ),
            auxiliary_head=dict(type='FCNHead', in_channels=32, in_index=2, num_convs=1, **head),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        ),
        **loaders,
        test_dataloader=loaders['val_dataloader'],
        val_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
        test_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
        visualizer=dict(
            type='SegLocalVisualizer',
            vis_backends=[dict(type='LocalVisBackend')],
            name='visualizer',
        ),
        tta_model=dict(type='SegTTAModel'),
        tta_pipeline=[
            dict(type='LoadImageFromFile'),
            dict(
                type='TestTimeAug',
                transforms=[
                    [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
                    [dict(type='LoadAnnotations')],
                    [dict(type='PackSegInputs')],
                ],
            ),
        ],
    )


def detection(root: Path, activation: str = 'FReLU', iters: int = 2) -> Dict[str, Any]:
    """RetinaNet on ResNet-18 with 8 channels, the ten classes of the scenes."""
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(WIDTH, HEIGHT), keep_ratio=True),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs'),
    ]
    loaders = {}
    for split in ('train', 'val'):
        dataset = dict(
            type='CocoDataset',
            data_root=str(root),
            metainfo=dict(classes=CLASSES),
            ann_file=f'annotations/instances_{split}.json',
            data_prefix=dict(img=f'leftImg8bit/{split}/'),
            test_mode=split == 'val',
            pipeline=steps,
        )
        loaders[f'{split}_dataloader'] = _loader(dataset, split == 'train', 0)
    metric = dict(
        type='CocoMetric', ann_file=str(root / 'annotations/instances_val.json'), metric='bbox'
    )
    return dict(
        **_runtime('mmdet', iters),
        model=dict(
            type='RetinaNet',
            data_preprocessor=dict(
                type='DetDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
                pad_size_divisor=32,
            ),
            backbone=_backbone(activation),
            neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=5),
            bbox_head=dict(
                type='RetinaHead',
                num_classes=len(CLASSES),
                in_channels=8,
                stacked_convs=1,
                feat_channels=8,
                anchor_generator=dict(
                    type='AnchorGenerator',
                    octave_base_scale=4,
                    scales_per_octave=1,
                    ratios=[1.0],
                    strides=[4, 8, 16, 32, 64],
                ),
                bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
                loss_cls=dict(type='FocalLoss', use_sigmoid=True),
                loss_bbox=dict(type='L1Loss'),
            ),
            train_cfg=dict(
                assigner=dict(
                    type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0
                ),
                sampler=dict(type='PseudoSampler'),
                allowed_border=-1,
                pos_weight=-1,
                debug=False,
            ),
            test_cfg=dict(
                nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10
            ),
        ),
        **loaders,
        test_dataloader=loaders['val_dataloader'],
        val_evaluator=metric,
        test_evaluator=metric,
        visualizer=dict(
            type='DetLocalVisualizer',
            vis_backends=[dict(type='LocalVisBackend')],
            name='visualizer',
        ),
    )


def write_config(path: Path, settings: Dict[str, Any]) -> Path:
    """Write a config file. Tuples remain tuples, and lists remain lists."""
    lines = [
        f'{key} = {pprint.pformat(value, sort_dicts=False)}' for key, value in settings.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(lines) + '\n')
    return path


def load_tool(name: str):
    """Import ``tools/<name>.py``, to call its ``main`` without starting Python again."""
    spec = importlib.util.spec_from_file_location(
        f'tool_{Path(name).stem}', REPOSITORY / 'tools' / name
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forget_runs() -> None:
    """Clear MMEngine's loggers, visualisers and scopes, which two runs in one process would share if they start in the same second."""
    for kind in (DefaultScope, MessageHub, MMLogger, Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()


def run(*command: Any, cwd: Path, timeout: float = 300, **env: str) -> subprocess.CompletedProcess:
    """Run a command like a user, from another folder. ``stdout`` includes stderr."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={
            **os.environ,
            'PYTHONPATH': str(REPOSITORY),
            'PYTHON': sys.executable,
            'OMP_NUM_THREADS': '1',
            'CUDA_VISIBLE_DEVICES': '',
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
