"""Keypoint models and tools in MMPose. These tests need the extra `pose` and MMPose."""

import json
import os

import numpy as np
import pytest
import tiny_project
import torch
from keypoint_files import ROOT, all_configs, baseline_of, load, needs_mmpose, read_name
from mmengine.registry import DATASETS, init_default_scope
from torch.nn import functional

from mm_frelu.engine.model_builder import build_model

pytestmark = needs_mmpose
TINY = ROOT / 'configs/keypoints/td-hm_mobilenetv2-025-dyrelu_1xb16-demo_posed-people-128x96.py'
METAFILE = ROOT / 'configs/keypoints/metafile.yml'


@pytest.fixture
def run(people_folder, tmp_path, monkeypatch, capsys):
    """Return a function that runs a tool in this process on the small dataset of people, and returns its output."""
    monkeypatch.setenv('POSED_PEOPLE_ROOT', str(people_folder))
    monkeypatch.chdir(tmp_path)

    def call(tool, *arguments):
        tiny_project.forget_runs()
        tiny_project.load_tool(tool).main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return printed.out + printed.err

    return call


SHORT = ('--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1')
SHORT += ('train_dataloader.batch_size=4', 'train_dataloader.num_workers=0')
SHORT += ('train_dataloader.persistent_workers=False', 'val_dataloader.num_workers=0')
SHORT += ('val_dataloader.persistent_workers=False', 'default_hooks.checkpoint.interval=1')
FOR_TEST = ('test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False')


@all_configs
def test_parameters_are_those_of_the_metafile(path):
    import yaml

    models = {model['Name']: model for model in yaml.safe_load(METAFILE.read_text())['Models']}
    model = build_model(load(path), 'meta')
    number = sum(parameter.numel() for parameter in model.parameters())
    assert models[path.stem]['Metadata'].get('Parameters', number) == number


@all_configs
def test_heatmaps_have_a_quarter_of_the_size(path):
    name = read_name(path)
    model = build_model(load(path), 'meta')
    width, height = name.input_size
    heatmaps = model(torch.empty(1, 3, height, width, device='meta'), None)
    assert heatmaps.shape == (1, 17, height // 4, width // 4)


def head(**options):
    from mm_frelu.keypoints import UpsamplingHead

    return UpsamplingHead(8, 5, channels=(6, 4), expansion=2, **options)


def test_head_computes_its_formula():
    """Compare with a block, bilinear upsampling, a block and a 1x1 convolution, written with functions of torch."""
    torch.manual_seed(0)
    model = head().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    x = features = torch.randn(2, 8, 4, 3)

    def conv(layer, x):
        x = functional.conv2d(
            x, layer.conv.weight, padding=layer.conv.padding, groups=layer.conv.groups
        )
        norm = layer.bn
        return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    for index, block in enumerate(model.blocks):
        if index:
            x = functional.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        expand, depthwise, project = block.conv
        assert depthwise.conv.groups == depthwise.conv.in_channels == 2 * x.shape[1]
        x = conv(project, conv(depthwise, conv(expand, x).relu()).relu())
    expected = functional.conv2d(x, model.final_layer.weight, model.final_layer.bias)
    assert expected.shape == (2, 5, 8, 6)
    torch.testing.assert_close(model((features,)), expected)


def test_initialisation_of_the_head():
    torch.manual_seed(0)
    model = head(act_cfg=dict(type='DyReLUC'))
    model.init_weights()
    assert 0.0005 < model.final_layer.weight.std() < 0.002
    # The activations keep torch's default for a 1x1 convolution from 16 channels; Kaiming for one output channel is larger.
    assert model.blocks[0].act1.spatial.weight.abs().max() <= 1 / 16**0.5


@pytest.mark.parametrize('options', [dict(channels=()), dict(channels=(4, 0)), dict(expansion=0)])
def test_head_refuses_sizes_that_are_not_positive(options):
    from mm_frelu.keypoints import UpsamplingHead

    with pytest.raises(ValueError, match='must be one or more positive integers'):
        UpsamplingHead(8, 5, **options)


def test_the_mmpose_dataset_loads_the_people_unchanged(people_folder, monkeypatch):
    monkeypatch.setenv('POSED_PEOPLE_ROOT', str(people_folder))
    from mmengine.config import Config

    cfg = Config.fromfile(TINY)
    init_default_scope('mmpose')
    people = DATASETS.build(cfg.train_dataloader.dataset)
    assert type(people).__module__.startswith('mmpose.')
    data = json.loads((people_folder / 'annotations/person_keypoints_train.json').read_text())
    labelled = [entry for entry in data['annotations'] if entry['num_keypoints']]
    assert len(people) == len(labelled)
    points = np.reshape(labelled[0]['keypoints'], (17, 3))
    info = people.get_data_info(0)
    assert np.allclose(info['keypoints'][0], points[:, :2])
    assert np.array_equal(info['keypoints_visible'][0], points[:, 2] > 0)
    sample = people[0]
    assert sample['inputs'].shape == (3, 128, 96)
    assert sample['data_samples'].gt_fields.heatmaps.shape == (17, 32, 24)


def test_train_test_and_pictures(run, tmp_path):
    log = run('train.py', TINY, '--work-dir', tmp_path / 'work', *SHORT)
    assert 'coco/AP' in log
    checkpoint = tmp_path / 'work/epoch_1.pth'
    assert checkpoint.is_file()
    # Resume from the checkpoint of the first epoch and train a second one.
    options = ['train_cfg.max_epochs=2' if 'max_epochs' in word else word for word in SHORT]
    log = run('train.py', TINY, '--work-dir', tmp_path / 'work', '--resume', *options)
    assert 'resumed epoch: 1' in log
    assert (tmp_path / 'work/epoch_2.pth').is_file()

    options = ('--work-dir', tmp_path / 'work', '--show-dir', 'pictures')
    log = run('test.py', TINY, checkpoint, *options, '--cfg-options', *FOR_TEST)
    assert 'coco/AP' in log
    (folder,) = (tmp_path / 'work').glob('*/pictures')
    assert len(os.listdir(folder)) >= 3
    assert f'pictures are in {folder}' in log

    out = tmp_path / 'side_by_side'
    models = [
        word
        for name in ('one', 'two')
        for word in (
            '--model',
            name,
            str(TINY),
            str(tmp_path / f'work/epoch_{1 + (name == "two")}.pth'),
        )
    ]
    log = run('visualize_keypoints.py', *models, '--out', out, '--max-images', 2, '--device', 'cpu')
    assert f'2 pictures in {out}' in log
    assert len(list(out.glob('*.png'))) == 2


def test_another_activation_on_the_command_line(run, tmp_path):
    baseline = baseline_of(TINY)
    log = run(
        'train.py', baseline, '--work-dir', tmp_path, '--act', 'SiLU', *SHORT, 'val_cfg=None',
        'val_dataloader=None', 'val_evaluator=None',
    )  # fmt: skip
    assert 'SiLU' in log
    assert 'backbone.stem_act' in log


@pytest.mark.parametrize(
    ('option', 'sentence'),
    [
        ('train_dataloader.dataset.ann_file=nowhere.json', 'train_dataloader.dataset.ann_file'),
        ('model.head.out_channels=14', 'model.head.out_channels is 14'),
    ],
)
def test_mistakes_are_reported_before_training(run, tmp_path, option, sentence, capsys):
    with pytest.raises(SystemExit):
        run('train.py', TINY, '--work-dir', tmp_path, '--cfg-options', option)
    told = capsys.readouterr().err
    assert sentence in told
    assert 'Traceback' not in told


def test_flops_of_each_part_are_listed(run):
    log = run('analysis_tools/get_flops.py', TINY)
    for word in ('backbone', 'head', 'DyReLUB', 'DyReLUC', '128x96'):
        assert word in log


def test_tta_message_names_the_flip_test(run, tmp_path, capsys):
    torch.save(dict(state_dict={}, meta={}), tmp_path / 'x.pth')
    with pytest.raises(SystemExit):
        run('test.py', TINY, tmp_path / 'x.pth', '--tta')
    assert 'model.test_cfg.flip_test' in capsys.readouterr().err
