"""Training that is killed at any point and resumed ends as if it had never been killed, bit for bit."""

import sys

import pytest
import tiny_project

SCRIPT = tiny_project.REPOSITORY / 'tests' / 'kill_training.py'


def settings_of(kind, activation, data):
    """A tiny project with every setting that makes a step depend on earlier steps."""
    settings = getattr(tiny_project, kind)(data, activation, iters=6)
    flip = dict(type='RandomFlip', prob=0.5)
    loader = settings['train_dataloader']
    loader['dataset']['pipeline'] = [
        *loader['dataset']['pipeline'][:-1],
        flip,
        *loader['dataset']['pipeline'][-1:],
    ]
    loader.update(num_workers=1, persistent_workers=True)
    settings['train_cfg']['val_interval'] = 4
    settings['param_scheduler'] = [
        dict(type='LinearLR', start_factor=0.1, begin=0, end=3, by_epoch=False),
        dict(type='PolyLR', eta_min=0.0, power=0.9, begin=3, end=6, by_epoch=False),
    ]
    settings['optim_wrapper'] = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01), clip_grad=dict(max_norm=10)
    )
    metric = 'mIoU' if kind == 'segmentation' else 'coco/bbox_mAP'
    settings['default_hooks']['checkpoint'].update(
        interval=2, max_keep_ckpts=1, save_best=metric, rule='greater'
    )
    settings['custom_hooks'] = [
        dict(type='mm_frelu.ValidationHistoryHook'),
        dict(type='EMAHook', momentum=0.1),
    ]
    return settings


def kill(kind, activation, points, data, tmp_path):
    config = tiny_project.write_config(tmp_path / f'{kind}.py', settings_of(kind, activation, data))
    done = tiny_project.run(
        sys.executable,
        '-W',
        'ignore',
        SCRIPT,
        config,
        tmp_path / 'runs',
        '--points',
        points,
        cwd=tmp_path,
        timeout=150 * points,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert f'{points} runs killed and resumed, 0 differences' in done.stdout


@pytest.mark.parametrize(
    ('kind', 'activation'),
    [
        ('segmentation', 'FReLU'),
        pytest.param('detection', 'DyReLUB', marks=pytest.mark.slow),
    ],
)
def test_one_point(kind, activation, street_scenes, tmp_path):
    kill(kind, activation, 1, street_scenes, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('activation', ['FReLU', 'DyReLUB'])
@pytest.mark.parametrize('kind', ['segmentation', 'detection'])
def test_twenty_points(kind, activation, street_scenes, tmp_path):
    kill(kind, activation, 20, street_scenes, tmp_path)
