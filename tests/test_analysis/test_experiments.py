"""What a comparison of trainings is made of: choices, settings, scores, costs."""

import statistics

import pytest
import tiny_project
from mmengine.config import Config

from mm_frelu.analysis.experiments import run as run_module
from mm_frelu.analysis.experiments.choices import parse_choices, with_activation
from mm_frelu.analysis.experiments.options import Metric, metric_of
from mm_frelu.analysis.experiments.scores import differences, estimate
from mm_frelu.analysis.experiments.step_cost import measure_step_costs
from mm_frelu.engine import UserError
from mm_frelu.engine.json_file import read_json, write_json


def test_a_choice_is_a_config():
    texts = ['ReLU', 'FReLU:kernel_size=5,init=identity', 'FReLU:norm_cfg.type=GN,bias=False']
    texts[2] += ',norm_cfg.num_groups=4'
    relu, frelu, grouped = parse_choices(texts)
    assert relu.cfg == dict(type='ReLU')
    assert frelu.cfg == dict(type='FReLU', kernel_size=5, init='identity')
    assert frelu.folder == 'FReLU_kernel_size=5_init=identity'
    norm_cfg = dict(type='GN', num_groups=4)
    assert grouped.cfg == dict(type='FReLU', norm_cfg=norm_cfg, bias=False)


@pytest.mark.parametrize(
    ('texts', 'message'),
    [
        (['ReLU', 'FReLUU'], "Did you mean 'FReLU'"),
        (['FReLU:kernel_size'], 'key=value'),
        (['FReLU:kernel_size=4'], 'kernel_size'),
        (['FReLU:colour=3'], 'colour'),
        (['DyReLUB:reduction=[1,3],init=identity'], r'got \[1, 3\]'),
        (['FReLU', 'ReLU', 'FReLU'], 'FReLU appears twice'),
    ],
)
def test_bad_choices(texts, message):
    with pytest.raises(UserError, match=message):
        parse_choices(texts)


def test_the_new_activation_takes_the_place_of_the_old_one():
    backbone = dict(type='mm_frelu.ResNet', act_cfg=dict(type='FReLU', init='identity'))
    cfg = Config(dict(default_scope='mmseg', model=dict(backbone=backbone)))
    changed = with_activation(cfg, dict(type='PReLU'))
    assert changed.model.backbone.act_cfg == dict(type='PReLU')
    assert cfg.model.backbone.act_cfg == dict(type='FReLU', init='identity')


@pytest.mark.parametrize(('kind', 'takes'), [('mm_frelu.ResNet', True), ('mmseg.ResNet', False)])
def test_a_backbone_is_asked_whether_it_takes_one(kind, takes):
    cfg = Config(dict(default_scope='mmseg', model=dict(backbone=dict(type=kind))))
    if takes:
        assert with_activation(cfg, dict(type='ReLU')).model.backbone.act_cfg.type == 'ReLU'
    else:
        with pytest.raises(UserError, match=r"'mmseg\.ResNet', which does not take act_cfg"):
            with_activation(cfg, dict(type='ReLU'))


def test_estimates_by_hand():
    # 40, 42, 44: mean 42, variance ((-2)**2 + 0 + 2**2) / 2 = 4.
    assert estimate([40.0, 42.0, 44.0]).text() == '42.0 ± 2.0'
    assert estimate([41.26]).text('+') == '+41.3'
    assert differences({0: 41.0, 1: 45.0}, {1: 44.0, 0: 43.0}) == [-2.0, 1.0]


def test_metrics_are_per_cent():
    box = metric_of(Config(dict(default_scope='mmdet')))
    assert box.of({'iter': 3, 'coco/bbox_mAP': 0.25}, 'a run') == 25.0
    assert box.of({'iter': 3}, 'a run') == 0.0  # not one box was found
    small = metric_of(Config(dict(default_scope='mmdet')), 'coco/bbox_mAP_s')
    assert small.of({'iter': 3, 'coco/bbox_mAP': 0.25, 'coco/bbox_mAP_s': 0.125}, 'a run') == 12.5
    assert small.name == 'coco/bbox_mAP_s'
    iou = metric_of(Config(dict(default_scope='mmseg')))
    assert iou.of({'mIoU': 25.0}, 'a run') == 25.0
    with pytest.raises(UserError, match='--metric mIoU: the validation of a run returned nothing'):
        iou.of({'iter': 3}, 'a run')
    with pytest.raises(UserError, match='returned mIoU, aAcc'):
        Metric('mDice', 'mDice', 1.0).of({'mIoU': 1.0, 'aAcc': 1.0}, 'a run')


def test_changed_settings_are_named(tmp_path):
    def prepare(**settings):
        cfg = Config(dict(default_scope='mmseg', **settings))
        run = run_module.make_run(cfg, 'ReLU', 0, tmp_path / 'run')
        run.prepare()

    prepare(lr=0.1, pipeline=[dict(type='A'), dict(type='B', scale=(2, 1))])
    prepare(lr=0.2)  # nothing was done yet with the other settings
    write_json(tmp_path / 'run/result.json', dict(history=[]))
    prepare(lr=0.2)
    with pytest.raises(UserError) as stop:
        prepare(lr=0.3, steps=[dict(power=2)])
    assert 'lr was 0.2, now it is 0.3; steps.0.power was not set, now it is 2.' in str(stop.value)


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / 'result.json').write_text('{"history": [')
    with pytest.raises(UserError, match=r'result\.json is not valid JSON'):
        read_json(tmp_path / 'result.json')


def test_step_costs_take_turns(street_scenes, monkeypatch):
    """Every round has one step of each model; medians and ratios are those of the times that the clock gave."""
    monkeypatch.setenv('MM_FRELU_IMPLEMENTATION', 'eager')
    cfg = Config(tiny_project.segmentation(street_scenes, activation='ReLU'))
    cfgs = {'ReLU': cfg, 'FReLU': with_activation(cfg, dict(type='FReLU'))}
    ticks = iter([0, 9, 0, 9] * 2 + [0, 1, 0, 3, 0, 2, 0, 4, 0, 4, 0, 20])
    monkeypatch.setattr('mm_frelu.analysis.measure.time.perf_counter', lambda: next(ticks))
    measured = measure_step_costs(cfgs, rounds=3)
    relu, frelu = measured['costs']['ReLU'], measured['costs']['FReLU']
    assert (relu['seconds'], frelu['seconds']) == (2, 4)
    assert frelu['times_baseline'] == statistics.median([3 / 1, 4 / 2, 20 / 4]) == 3.0
    assert frelu['quartiles'] == [2.5, 4.0]
    assert measured['batch'] == [2, 3, 64, 128]
    # Windows of three stages, two sites in each of two blocks: 9 weights, a bias and two norm parameters per channel.
    assert frelu['parameters'] - relu['parameters'] == 12 * 4 * (8 + 16 + 32)
    # For backward, a window keeps at least what it convolves and what the norm gets, in floats of 4 bytes.
    sites = 4 * 2 * (8 * 16 * 32 + 16 * 8 * 16 + 32 * 4 * 8)
    assert frelu['kept'] - relu['kept'] > 4 * sites


def test_a_detector_has_step_costs(street_scenes):
    cfg = Config(tiny_project.detection(street_scenes, activation='ReLU'))
    measured = measure_step_costs({'ReLU': cfg}, rounds=1)
    cost = measured['costs']['ReLU']
    assert cost['times_baseline'] == 1.0
    assert cost['quartiles'] == [1.0, 1.0]
    assert cost['seconds'] > 0
    # At least the stem's output, which its norm keeps: two images of 64x128 at half the size with 8 channels.
    assert cost['kept'] > 4 * 2 * 8 * 32 * 64
    assert measured['shape'] == [64, 128]
