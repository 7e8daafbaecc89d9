"""A config's name and its content say the same: depth, style, batch, schedule, crop, dataset."""

import re
from math import prod

import pytest
from config_files import CONFIG_PATHS, ROOT, load, read_name, short_id
from config_weights import weights_of

from mm_frelu.engine import UserError
from mm_frelu.engine.launch import train

all_configs = pytest.mark.parametrize('path', CONFIG_PATHS, ids=short_id)
WITH_LOCAL_WEIGHTS = [path for path in CONFIG_PATHS if weights_of(read_name(path)).local]

DATA = {
    # name in file names: dataset class, default folder, the environment variable that names another
    'coco': ('CocoDataset', 'data/coco', 'COCO_ROOT'),
    'cityscapes': ('CityscapesDataset', 'data/cityscapes', 'CITYSCAPES_DATASET'),
    'own-data': ('CocoDataset', 'data/own', 'OWN_DATA_ROOT'),
    'street-scenes': (None, 'data/street_scenes', 'STREET_SCENES_ROOT'),
}
BACKBONES = {
    'resnet': dict(type='mm_frelu.ResNet'),
    'shufflenet-v2-150': dict(type='mm_frelu.ShuffleNetV2', widen_factor=1.5),
    'mobilenet-v1-075': dict(type='mm_frelu.MobileNetV1', widen_factor=0.75),
    'mobilenet-v2': dict(type='mm_frelu.MobileNetV2', widen_factor=1.0),
}
STRIDES = {
    # stride of the stem, usual strides of the stages
    'resnet': (4, (1, 2, 2, 2)),
    'shufflenet-v2-150': (4, (2, 2, 2)),
    'mobilenet-v1-075': (2, (1, 2, 2, 2, 2)),
    'mobilenet-v2': (2, (1, 2, 2, 2, 1, 2, 1)),
}


def test_there_are_configs_for_both_methods():
    assert {path.parent.name for path in CONFIG_PATHS} == {'retinanet', 'pspnet'}
    assert len(CONFIG_PATHS) == 93


@all_configs
def test_backbone(path):
    name, backbone = read_name(path), load(path).model.backbone
    for key, value in BACKBONES[name.network].items():
        assert backbone[key] == value
    assert backbone.get('depth') == name.depth
    assert backbone.get('style', 'pytorch') == name.style
    stem, usual = STRIDES[name.network]
    strides = backbone.get('strides', usual)
    dilations = backbone.get('dilations', (1,) * len(usual))
    assert stem * prod(strides) == name.output_stride
    # What a stage and those before it lose in stride comes back as dilation.
    for stage in range(1, len(strides) + 1):
        assert dilations[stage - 1] == prod(usual[:stage]) // prod(strides[:stage])


@all_configs
def test_weights_and_preprocessing_belong_together(path):
    cfg, weights = load(path), weights_of(read_name(path))
    init_cfg = dict(type='Pretrained', checkpoint=weights.checkpoint)
    if weights.local:
        init_cfg['prefix'] = 'backbone.'
    assert cfg.model.backbone.init_cfg == (init_cfg if weights.checkpoint else None)
    seen = cfg.model.data_preprocessor
    assert (seen.mean, seen.std, seen.bgr_to_rgb) == weights.pixels


@all_configs
def test_says_where_local_weights_come_from(path):
    """A file that the user has to make: the config says how, and training tells it before it reads data."""
    name, cfg = read_name(path), load(path)
    weights = weights_of(name)
    assert ('weights_hint' in cfg) == weights.local
    if weights.local:
        with pytest.raises(UserError) as error:
            train(cfg)
        told = str(error.value)
        assert told.startswith(f'model.backbone.init_cfg.checkpoint: {weights.checkpoint} does not')
        assert told.endswith(cfg.weights_hint)
        assert weights.checkpoint in cfg.weights_hint
        files = re.findall(r'(?:tools|configs)/[\w./-]*', cfg.weights_hint)
        assert all((ROOT / file).exists() for file in files)
        if name.act == 'frelu' and name.network == 'resnet':
            assert files == ['tools/model_converters/megengine_to_mm.py']


@pytest.mark.parametrize('path', WITH_LOCAL_WEIGHTS, ids=short_id)
def test_one_variable_moves_all_weights(path, monkeypatch):
    monkeypatch.setenv('WEIGHTS_ROOT', '/elsewhere')
    moved = weights_of(read_name(path)).checkpoint.replace('weights', '/elsewhere', 1)
    cfg = load(path)
    assert cfg.model.backbone.init_cfg.checkpoint == moved
    assert moved in cfg.weights_hint


@all_configs
def test_batch(path):
    name, cfg = read_name(path), load(path)
    assert cfg.train_dataloader.batch_size == name.batch
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=name.gpus * name.batch)


@all_configs
def test_schedule(path):
    name, cfg = read_name(path), load(path)
    loop, last = cfg.train_cfg, cfg.param_scheduler[-1]
    if name.schedule in ('1x', '2x'):
        epochs = 12 * int(name.schedule[0])
        assert (loop.type, loop.max_epochs) == ('EpochBasedTrainLoop', epochs)
        assert (last.type, last.end, last.by_epoch) == ('MultiStepLR', epochs, True)
        assert last.milestones == [epochs * 2 // 3, epochs * 11 // 12]
    else:
        if name.schedule != 'demo':
            assert loop.max_iters == 1000 * int(name.schedule[:-1])
        assert loop.type == 'IterBasedTrainLoop'
        assert (last.type, last.end, last.by_epoch) == ('PolyLR', loop.max_iters, False)


@all_configs
def test_what_is_evaluated_is_saved(path):
    cfg = load(path)
    saving, by_epoch = cfg.default_hooks.checkpoint, 'Epoch' in cfg.train_cfg.type
    assert saving.get('by_epoch', True) == by_epoch == cfg.log_processor.by_epoch
    assert saving.interval == cfg.train_cfg.val_interval
    end = cfg.train_cfg.max_epochs if by_epoch else cfg.train_cfg.max_iters
    assert end % saving.interval == 0
    metric = {'CocoMetric': 'coco/bbox_mAP', 'IoUMetric': 'mIoU'}[cfg.val_evaluator.type]
    assert saving.save_best == metric


@all_configs
def test_crop(path):
    name, cfg = read_name(path), load(path)
    crops = [step.crop_size for step in cfg.train_pipeline if step.type == 'RandomCrop']
    if name.crop is None:
        assert crops == []
        return
    assert crops == [name.crop]
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    assert cfg.model.data_preprocessor.size == name.crop
    slides = name.crop == (769, 769)
    assert cfg.model.test_cfg.mode == ('slide' if slides else 'whole')
    heads = [cfg.model[key] for key in ('decode_head', 'auxiliary_head') if cfg.model.get(key)]
    assert {head.align_corners for head in heads} == {slides}
    if slides:
        assert cfg.model.test_cfg.crop_size == name.crop


@all_configs
def test_dataset(path):
    name, cfg = read_name(path), load(path)
    dataset_type, folder, _ = DATA[name.dataset]
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == folder
        assert loader.dataset.type == dataset_type or name.dataset == 'street-scenes'
    assert cfg.default_scope == {'retinanet': 'mmdet', 'pspnet': 'mmseg'}[name.method]
    assert cfg.custom_imports == dict(imports=['mm_frelu'], allow_failed_imports=False)


@all_configs
def test_one_variable_moves_all_data(path, monkeypatch):
    _, folder, variable = DATA[read_name(path).dataset]
    monkeypatch.setenv(variable, '/elsewhere')
    paths = [text for text in strings_in(load(path).to_dict()) if 'elsewhere' in text]
    assert len(paths) >= 4
    assert all(text.startswith('/elsewhere') for text in paths)
    assert not [text for text in strings_in(load(path).to_dict()) if text.startswith(folder)]


@all_configs
def test_label_ids_are_checked_wherever_masks_are_read(path):
    name, cfg = read_name(path), load(path)
    pipelines = [cfg.train_pipeline, cfg.test_pipeline]
    tta = cfg.tta_pipeline[-1].transforms
    pipelines.append([step for choices in tta for step in choices[:1]])
    for pipeline in pipelines:
        types = [step.type for step in pipeline]
        after = types[types.index('LoadAnnotations') + 1]
        assert (after == 'mm_frelu.CheckLabelIds') == (name.method == 'pspnet')


def strings_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from strings_in(inner)
