"""The keypoint configs match their names, differ from their baselines only in the activation, and are listed. MMPose is not needed."""

import re

import pytest
import torch
import yaml
from keypoint_files import CONFIG_PATHS, ROOT, all_configs, baseline_of, load, read_name

from mm_frelu.backbones import MobileNetV2, MobileNetV3
from mm_frelu.registry import MODELS

FOLDER = ROOT / 'configs' / 'keypoints'
README = (FOLDER / 'README.md').read_text()
METAFILE = yaml.safe_load((FOLDER / 'metafile.yml').read_text())
DYNAMIC = [path for path in CONFIG_PATHS if read_name(path).act == 'dyrelu']
FULL = [path for path in CONFIG_PATHS if not read_name(path).demo]


def differences(a, b, prefix=''):
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            key
            for name in {**a, **b}
            for key in differences(a.get(name), b.get(name), f'{prefix}.{name}'.lstrip('.'))
        ]
    return [] if a == b else [prefix]


def test_the_folder_has_these_configs():
    networks = {re.match(r'td-hm_(.+)-dyrelu_', path.name)[1] for path in DYNAMIC}
    assert networks == {
        'mobilenetv2-025',
        'mobilenetv2-050',
        'mobilenetv2-100',
        'mobilenetv3-large',
        'mobilenetv3-small',
    }
    assert len(CONFIG_PATHS) == 10
    assert all(baseline_of(path).is_file() for path in CONFIG_PATHS)


@pytest.mark.parametrize('path', DYNAMIC, ids=lambda path: path.stem)
def test_config_differs_from_its_baseline_only_in_the_activation(path):
    mine, baseline = load(path).to_dict(), load(baseline_of(path)).to_dict()
    found = {re.sub(r'act_cfg\.type$', 'act_cfg', key) for key in differences(mine, baseline)}
    assert found == {'model.backbone.act_cfg', 'model.head.act_cfg'}
    assert mine['model']['backbone']['act_cfg'] == dict(type='DyReLUB')
    assert mine['model']['head']['act_cfg'] == dict(type='DyReLUC')


@all_configs
def test_backbone_and_head_fit(path):
    name, model = read_name(path), load(path).model
    for key, value in name.backbone.items():
        assert model.backbone[key] == value
    backbone = MODELS.build(model.backbone)
    assert isinstance(backbone, (MobileNetV2, MobileNetV3))
    width, height = name.input_size
    (features,) = backbone(torch.zeros(1, 3, height, width))
    assert features.shape[1] == model.head.in_channels
    stride = 4 * 2 ** (len(model.head.channels) - 1)
    assert features.shape[2:] == (height // stride, width // stride)
    has_se = any('se' in key.split('.') for key, _ in backbone.named_modules())
    assert has_se == (name.act == 'hswish')


@all_configs
def test_sizes(path):
    name, cfg = read_name(path), load(path)
    heatmap = tuple(length // 4 for length in name.input_size)
    codec = cfg.model.head.decoder
    assert codec == cfg.codec
    assert (tuple(codec.input_size), tuple(codec.heatmap_size)) == (name.input_size, heatmap)
    for pipeline in (cfg.train_pipeline, cfg.test_pipeline):
        (affine,) = [step for step in pipeline if step.type == 'TopdownAffine']
        assert tuple(affine.input_size) == name.input_size
    (target,) = [step for step in cfg.train_pipeline if step.type == 'GenerateTarget']
    assert target.encoder == codec


@all_configs
def test_recipe(path):
    name, cfg = read_name(path), load(path)
    assert cfg.default_scope == 'mmpose'
    assert cfg.custom_imports.imports == ['mm_frelu', 'mm_frelu.keypoints']
    assert cfg.train_dataloader.batch_size == name.per_gpu
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=name.people)
    assert cfg.train_cfg.max_epochs % cfg.train_cfg.val_interval == 0
    assert cfg.default_hooks.checkpoint.interval == cfg.train_cfg.val_interval
    assert cfg.model.test_cfg.flip_test
    assert cfg.val_evaluator.type == 'CocoMetric'
    assert cfg.model.head.out_channels == 17
    if not name.demo:
        assert cfg.train_cfg.max_epochs == 210
        assert cfg.param_scheduler[-1].milestones == [170, 200]
        assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=1e-3)


@all_configs
def test_one_variable_sets_the_folder_of_all_data(path, monkeypatch):
    variable = 'POSED_PEOPLE_ROOT' if read_name(path).demo else 'COCO_ROOT'
    usual = 'data/posed_people' if read_name(path).demo else 'data/coco'
    monkeypatch.setenv(variable, '/elsewhere')
    from mmengine.config import Config

    text = repr(Config.fromfile(path, import_custom_modules=False).to_dict())
    assert text.count('/elsewhere') >= 4
    assert usual not in text


def test_metafile_lists_every_config():
    models = {model['Name']: model for model in METAFILE['Models']}
    assert set(models) == {path.stem for path in CONFIG_PATHS}
    for path in CONFIG_PATHS:
        model = models[path.stem]
        assert model['Config'] == f'configs/keypoints/{path.name}'
        assert model['Metadata']['Batch Size'] == read_name(path).people
        assert not {'Results', 'Weights'} & set(model)
        assert ('Parameters' in model['Metadata']) == (not read_name(path).demo)


def test_readme_lists_every_config_next_to_its_baseline():
    links = re.findall(r'\]\(([^)/]+\.py)\)', README)
    assert set(links) == {path.name for path in CONFIG_PATHS}
    for path in DYNAMIC:
        (row,) = [line for line in README.splitlines() if f'({path.name})' in line]
        assert f'({baseline_of(path).name})' in row


def test_readme_has_the_parameters_of_the_metafile():
    models = {model['Name']: model for model in METAFILE['Models']}
    for path in FULL:
        millions = f'{models[path.stem]["Metadata"]["Parameters"] / 1e6:.2f} M'
        assert millions in README, path.stem
