"""The ImageNet configs: name and content say the same, baselines are baselines, the recipe is the paper's. No mmpretrain needed."""

import re

import pytest
import torch
import yaml
from imagenet_files import CONFIG_PATHS, ROOT, all_configs, baseline_of, load, read_name
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from mm_frelu.checkpoints.architectures import ARCHITECTURES
from mm_frelu.engine.preprocessing import from_dict, of_config
from mm_frelu.necks import DropoutPooling
from mm_frelu.registry import MODELS

ACTS = {'resnet': 'FReLU', 'mobilenet': 'FReLU', 'shufflenet-v2': 'LightFReLU'}
# Of the official code, without a bias in the classifier: facts about it, not about this package.
SHUFFLENET_PARAMETERS = {'050': 1395232, '100': 2335060, '150': 3586720, '200': 7519700}


def classifier(path, device='meta'):
    """Backbone and head under the names of an mmpretrain classifier."""
    model = load(path).model
    with torch.device(device):
        fc = nn.Linear(model.head.in_channels, model.head.num_classes)
        parts = dict(backbone=MODELS.build(model.backbone), neck=MODELS.build(model.neck))
        return nn.ModuleDict(dict(**parts, head=nn.ModuleDict(dict(fc=fc))))


def test_what_there_is():
    names = [read_name(path) for path in CONFIG_PATHS]
    assert len(names) == 21
    frelu, relu = ({name.network for name in names if name.act == act} for act in ('frelu', 'relu'))
    assert frelu == relu
    assert {
        'resnet50',
        'resnet101',
        'shufflenet-v2-050',
        'mobilenet-v1-075',
        'mobilenet-v2-100',
    } <= frelu
    assert [name.network for name in names if name.act == 'silu'] == ['shufflenet-v2-150']


@all_configs
def test_network_and_activation(path):
    name, model = read_name(path), load(path).model
    assert {key: model.backbone[key] for key in name.backbone} == name.backbone
    kind = next(act for prefix, act in ACTS.items() if name.network.startswith(prefix))
    expected = {'frelu': kind, 'relu': 'ReLU', 'silu': 'SiLU'}[name.act]
    # No init='identity': these start from nothing, as the paper's networks do.
    assert model.backbone.act_cfg == dict(type=expected)
    assert model.head.num_classes == 1000


@all_configs
def test_a_config_differs_from_its_baseline_in_the_activation_alone(path):
    mine, baseline = load(path).to_dict(), load(baseline_of(path)).to_dict()
    mine['model']['backbone'].pop('act_cfg')
    baseline['model']['backbone'].pop('act_cfg')
    assert mine == baseline


@all_configs
def test_recipe(path):
    """FReLU paper and official code: batch, rate, decay, steps, loss, dropout, pictures."""
    name, cfg = read_name(path), load(path)
    batch, rate, decay, steps = (
        (1024, 0.5, 4e-5, 300000) if name.light else (256, 0.1, 1e-4, 600000)
    )
    assert name.gpus * name.batch == batch == cfg.auto_scale_lr.base_batch_size
    assert cfg.train_dataloader.batch_size == name.batch
    optimizer = dict(type='SGD', lr=rate, momentum=0.9, weight_decay=decay)
    assert cfg.optim_wrapper.optimizer == optimizer
    assert cfg.train_cfg.max_iters == steps
    assert steps % cfg.train_cfg.val_interval == 0
    assert cfg.default_hooks.checkpoint.interval == cfg.train_cfg.val_interval
    smooth = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
    plain = dict(type='CrossEntropyLoss', loss_weight=1.0)
    assert cfg.model.head.loss == (smooth if name.light else plain)
    dropped = {'resnet': 0.1, 'shufflenet-v2-200': 0.2}
    expected = next((drop for key, drop in dropped.items() if name.network.startswith(key)), 0.0)
    assert cfg.model.neck.get('drop_rate', 0.0) == expected
    assert [step.type for step in cfg.train_pipeline[1:-1]] == [
        'RandomResizedCrop', 'RandomFlip', 'ColorJitter',
    ]  # fmt: skip
    assert cfg.test_pipeline[1:3] == [
        dict(type='ResizeEdge', scale=256, edge='short'),
        dict(type='CenterCrop', crop_size=224),
    ]


@all_configs
def test_pixels(path):
    raw = from_dict(dict(mean=[0, 0, 0], std=[1, 1, 1], to_rgb=False))
    imagenet = from_dict(
        dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
    )
    assert of_config(load(path)) == (raw if read_name(path).raw_pixels else imagenet)


@all_configs
def test_one_variable_moves_all_data(path, monkeypatch):
    monkeypatch.delenv('IMAGENET_ROOT', raising=False)
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    assert {load(path)[loader].dataset.data_root for loader in loaders} == {'data/imagenet'}
    monkeypatch.setenv('IMAGENET_ROOT', '/elsewhere')
    assert {load(path)[loader].dataset.data_root for loader in loaders} == {'/elsewhere'}


@pytest.mark.parametrize('steps', [0, 1, 150000, 599999, 600000])
def test_the_rate_falls_in_a_straight_line(steps):
    cfg = load(ROOT / 'configs/imagenet/resnet50-frelu_8xb32_in1k.py')
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    (schedule,) = cfg.param_scheduler
    schedule = PARAM_SCHEDULERS.build(dict(schedule, optimizer=optimizer))
    if steps > 1:  # continue from a step of a run, as resuming does
        before = 0.1 * (1 - (steps - 1) / 600000)
        optimizer.param_groups[0]['lr'] = before
        schedule.last_step = schedule._global_step = steps - 1
    for _ in range(min(steps, 1)):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]['lr'] == pytest.approx(0.1 * (1 - steps / 600000), abs=1e-9)


@pytest.mark.parametrize('network', ['resnet50-frelu_8xb32', 'shufflenet-v2-050-frelu_8xb128'])
def test_windows_decay_and_norms_and_biases_do_not(network):
    path = ROOT / f'configs/imagenet/{network}_in1k.py'
    model = classifier(path)
    wrapper = build_optim_wrapper(model, load(path).optim_wrapper)
    names = {parameter: name for name, parameter in model.named_parameters()}
    decay = wrapper.optimizer.defaults['weight_decay']
    assert decay > 0
    windows = 0
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            assert group['weight_decay'] == (decay if parameter.ndim > 1 else 0), names[parameter]
            windows += parameter.ndim == 4 and parameter.shape[-2:] in ((3, 3), (1, 3), (3, 1))
    assert windows >= 39


@pytest.mark.parametrize('width', SHUFFLENET_PARAMETERS)
def test_shufflenet_has_the_official_parameters(width):
    model = classifier(ROOT / f'configs/imagenet/shufflenet-v2-{width}-frelu_8xb128_in1k.py')
    # mmpretrain's linear head has a bias, the official classifier has none.
    expected = SHUFFLENET_PARAMETERS[width] + 1000
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize(
    ('network', 'arch'),
    [
        ('resnet50-caffe-frelu_8xb32', 'resnet50'),
        ('resnet50-frelu_8xb32', 'resnet50'),
        ('shufflenet-v2-050-frelu_8xb128', 'shufflenet_v2_x0_5'),
        ('shufflenet-v2-150-frelu_8xb128', 'shufflenet_v2_x1_5'),
    ],
)
def test_names_and_shapes_are_those_of_the_converted_official_weights(network, arch):
    architecture = next(item for item in ARCHITECTURES if item.name == arch)
    converted = {f'backbone.{name}': shape for name, shape in architecture.shapes().items()}
    converted['head.fc.weight'] = (1000, architecture.num_features())
    converted['head.fc.bias'] = (1000,)
    state = classifier(ROOT / f'configs/imagenet/{network}_in1k.py').state_dict()
    found = {k: tuple(v.shape) for k, v in state.items() if not k.endswith('num_batches_tracked')}
    assert found == converted


def test_pooling_drops_whole_channels_while_training_only():
    features = torch.rand(4, 200, 3, 5)
    pooling = DropoutPooling(0.25)
    means = features.numpy().mean((2, 3))
    (evaluated,) = pooling.eval()((features,))
    torch.testing.assert_close(evaluated, torch.from_numpy(means))
    (trained,) = pooling.train()(features)
    dropped = trained == 0
    assert 0.15 < dropped.float().mean() < 0.35
    torch.testing.assert_close(trained[~dropped], evaluated[~dropped] / 0.75)
    with pytest.raises(ValueError, match='drop_rate must be at least 0 and below 1; got 1'):
        DropoutPooling(1)


def test_every_config_is_listed_once_with_its_baseline_and_its_parameters():
    folder = ROOT / 'configs/imagenet'
    text = (folder / 'README.md').read_text()
    links = re.findall(r'\]\(([^)/]+\.py)\)', text)
    assert sorted(links) == [path.name for path in CONFIG_PATHS]
    for path in CONFIG_PATHS:
        rows = [row for row in text.splitlines() if f'({path.name})' in row]
        assert any(f'({baseline_of(path).name})' in row for row in rows), path.name
    content = yaml.safe_load((folder / 'metafile.yml').read_text())
    assert [model['Name'] for model in content['Models']] == [path.stem for path in CONFIG_PATHS]
    for model in content['Models']:
        path = ROOT / model['Config']
        assert path.stem == model['Name']
        name = read_name(path)
        assert model['Metadata']['Batch Size'] == name.gpus * name.batch
        assert model['Metadata']['Iterations'] == load(path).train_cfg.max_iters
        number = sum(parameter.numel() for parameter in classifier(path).parameters())
        assert model['Metadata']['Parameters'] == number
        assert not {'Results', 'Weights'} & set(model)
