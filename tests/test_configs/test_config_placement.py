"""Every activation sits where a config's name promises."""

import pytest
from config_files import CONFIG_PATHS, baseline_of, load, read_name, short_id
from meta_models import anatomy
from mmdet.datasets import CocoDataset
from mmseg.datasets import CityscapesDataset
from networks import site_channels

DATASETS = {'CocoDataset': CocoDataset, 'CityscapesDataset': CityscapesDataset}
ACT_CLASS = {
    'frelu': 'FReLU',
    'frelu-p': 'FReLU',
    'frelu-identity': 'FReLU',
    'dyrelu-b': 'DyReLUB',
    'silu': 'SiLU',
    'prelu': 'PReLU',
    'relu6': 'ReLU6',
    'relu': 'ReLU',
}

all_configs = pytest.mark.parametrize('path', CONFIG_PATHS, ids=short_id)


def class_at_the_sites(name):
    light = name.network.startswith('shufflenet') and name.act == 'frelu'
    return 'LightFReLU' if light else ACT_CLASS[name.act]


@all_configs
def test_activation_sits_where_the_name_promises(path):
    name, kinds = read_name(path), anatomy(path).kinds
    sites = set(site_channels(name))
    assert {kinds[site] for site in sites} == {class_at_the_sites(name)}
    elsewhere = {kind for key, kind in kinds.items() if key not in sites}
    # MobileNetV2's stem keeps the ReLU6 of its weights.
    studied = {*ACT_CLASS.values(), 'LightFReLU'} - {'ReLU', 'ReLU6'}
    assert not studied & elsewhere
    stem = {'ReLU6'} if name.network == 'mobilenet-v2' else set()
    assert {'ReLU6'} & elsewhere == stem


@pytest.mark.parametrize(
    ('network', 'depth', 'act', 'sites'),
    [
        ('resnet', 50, 'frelu', 39),
        ('resnet', 50, 'frelu-p', 13),
        ('resnet', 101, 'frelu', 90),
        ('resnet', 101, 'frelu-p', 30),
        ('resnet', 18, 'frelu', 12),
        ('resnet', 50, 'dyrelu-b', 39),
        # 37 with the last 1x1, which a detector has not.
        ('shufflenet-v2-150', None, 'frelu', 36),
        ('mobilenet-v1-075', None, 'frelu', 26),
        ('mobilenet-v2', None, 'frelu', 33),
    ],
)
def test_number_of_sites(network, depth, act, sites):
    """39 windows in 13 blocks of ResNet-50, as in the official code."""
    names = [read_name(path) for path in CONFIG_PATHS]
    of_kind = [
        name for name in names if (name.network, name.depth, name.act) == (network, depth, act)
    ]
    assert of_kind
    assert {len(site_channels(name)) for name in of_kind} == {sites}


def added_per_site(kind, channels):
    """Parameters of an activation, by its equations."""
    if kind == 'FReLU':
        return 12 * channels  # a 3x3 window, its bias, and a norm's scale and shift
    if kind == 'LightFReLU':
        return 10 * channels  # strips of 1x3 and 3x1 without biases, and two norms
    if kind == 'DyReLUB':
        hidden = channels // 8  # R = 8, then two slopes and two intercepts for each channel
        return (channels + 1) * hidden + (hidden + 1) * 4 * channels
    return channels if kind == 'PReLU' else 0


@pytest.mark.parametrize(
    'path', [path for path in CONFIG_PATHS if read_name(path).act != 'relu'], ids=short_id
)
def test_added_parameters(path):
    """What the activation adds, and nothing else is added."""
    name = read_name(path)
    sites = site_channels(name, load(path).model.backbone.get('base_channels', 64))
    expected = sum(added_per_site(class_at_the_sites(name), width) for width in sites.values())
    added = anatomy(path).num_parameters - anatomy(baseline_of(path)).num_parameters
    assert added == expected
    if name.depth == 50 and 'frelu' in name.act:
        assert added == (26_880 if name.act == 'frelu-p' else 161_280)


@all_configs
def test_heads_have_the_classes_of_the_dataset(path):
    cfg = load(path)
    known = DATASETS[cfg.train_dataloader.dataset.type].METAINFO['classes']
    classes = cfg.train_dataloader.dataset.get('metainfo', dict(classes=known))['classes']
    assert len(set(classes)) == len(classes)
    heads = ('bbox_head', 'decode_head', 'auxiliary_head')
    sizes = {key: cfg.model[key].num_classes for key in heads if cfg.model.get(key)}
    assert set(sizes.values()) == {len(classes)}
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.get('metainfo') == cfg.train_dataloader.dataset.get('metainfo')
    checks = [step for step in cfg.train_pipeline if step.type == 'mm_frelu.CheckLabelIds']
    assert {step.num_classes for step in checks} <= {len(classes)}
