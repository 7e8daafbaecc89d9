"""Every activation sits where a config's name promises."""

import pytest
from config_files import CONFIG_PATHS, control_of, load, read_name, short_id
from meta_models import anatomy
from mmdet.datasets import CocoDataset
from mmseg.datasets import CityscapesDataset

# Blocks in layer1, layer2, layer3 (layer4 keeps ReLU) and sites in a block, from He et al. 2016 and the FReLU paper.
BLOCKS = {18: (2, 2, 2), 50: (3, 4, 6), 101: (3, 4, 23)}
SITES = {18: ('act1', 'act2'), 50: ('act1', 'act2', 'act3'), 101: ('act1', 'act2', 'act3')}
DATASETS = {'CocoDataset': CocoDataset, 'CityscapesDataset': CityscapesDataset}
ACT_CLASS = {'frelu': 'FReLU', 'frelu-p': 'FReLU', 'silu': 'SiLU', 'prelu': 'PReLU', 'relu': 'ReLU'}

all_configs = pytest.mark.parametrize('path', CONFIG_PATHS, ids=short_id)


def sites_of(name):
    sites = ('act2',) if name.act == 'frelu-p' else SITES[name.depth]
    return {
        f'backbone.layer{stage}.{block}.{site}'
        for stage, blocks in enumerate(BLOCKS[name.depth], start=1)
        for block in range(blocks)
        for site in sites
    }


@all_configs
def test_activation_sits_where_the_name_promises(path):
    name, kinds = read_name(path), anatomy(path).kinds
    if name.act == 'relu':
        assert {kinds[site] for site in sites_of(name)} == {'ReLU'}
        assert not {'FReLU', 'SiLU', 'PReLU'} & set(kinds.values())
    else:
        found = {key for key, kind in kinds.items() if kind == ACT_CLASS[name.act]}
        assert found == sites_of(name)


@pytest.mark.parametrize(
    ('depth', 'act', 'windows'),
    [
        (50, 'frelu', 39),
        (50, 'frelu-p', 13),
        (101, 'frelu', 90),
        (101, 'frelu-p', 30),
        (18, 'frelu', 12),
    ],
)
def test_number_of_windows(depth, act, windows):
    """39 windows in 13 blocks of ResNet-50, as in the official code."""
    names = [read_name(path) for path in CONFIG_PATHS]
    of_kind = [name for name in names if (name.depth, name.act) == (depth, act)]
    assert of_kind
    assert {len(sites_of(name)) for name in of_kind} == {windows}


@pytest.mark.parametrize(
    'path', [path for path in CONFIG_PATHS if 'frelu' in read_name(path).act], ids=short_id
)
def test_added_parameters(path):
    """Each window has 9 weights, a bias and a norm's 2 values for each channel; nothing else is added."""
    name = read_name(path)
    width = load(path).model.backbone.get('base_channels', 64)
    # act3 stands behind a bottleneck's last 1x1, which is four times as wide.
    wide = {'act1': 1, 'act2': 1, 'act3': 4}
    sites = ('act2',) if name.act == 'frelu-p' else SITES[name.depth]
    channels = sum(
        blocks * width * 2**stage * wide[site]
        for stage, blocks in enumerate(BLOCKS[name.depth])
        for site in sites
    )
    added = anatomy(path).num_parameters - anatomy(control_of(path)).num_parameters
    assert added == 12 * channels
    if name.depth == 50:
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
