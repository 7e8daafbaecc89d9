"""The data of each config, read and transformed as in training and testing, on drawn scenes in the data set's layout."""

import json

import pytest
import torch
from config_files import CONFIG_PATHS, load
from mmdet.registry import DATASETS as DET_DATASETS
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS as SEG_DATASETS

REGISTRIES = {'mmdet': DET_DATASETS, 'mmseg': SEG_DATASETS}
PATHS_BY_STEM = {path.stem: path for path in CONFIG_PATHS}


@pytest.fixture
def items(monkeypatch, street_scenes, coco):
    """A function: the first training and the first test item of a config."""
    monkeypatch.setenv('STREET_SCENES_ROOT', str(street_scenes))
    monkeypatch.setenv('CITYSCAPES_DATASET', str(street_scenes))
    monkeypatch.setenv('COCO_ROOT', str(coco))

    def read(stem):
        cfg = load(PATHS_BY_STEM[stem])
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            build = REGISTRIES[cfg.default_scope].build
            train, test = build(cfg.train_dataloader.dataset), build(cfg.test_dataloader.dataset)
            assert len(train) > len(test) > 0
            return train[0], test[0]

    return read


@pytest.mark.parametrize(
    ('stem', 'train_size', 'test_size'),
    [
        ('pspnet_r50b-relu-d8_4xb2-40k_cityscapes-512x1024', (512, 1024), (1024, 2048)),
        ('pspnet_r50b-relu-d8_4xb2-40k_cityscapes-769x769', (769, 769), (1025, 2049)),
        ('pspnet_r18b-relu-d4_1xb8-demo_street-scenes-128x256', (128, 256), (128, 256)),
    ],
)
def test_segmentation_data(items, stem, train_size, test_size):
    train, test = items(stem)
    sample = train['data_samples']
    # Crops are padded up to their size by the preprocessor; what comes from the data set is at most that big.
    assert all(got <= most for got, most in zip(train['inputs'].shape[1:], train_size))
    assert sample.gt_sem_seg.shape == train['inputs'].shape[1:]
    assert set(sample.gt_sem_seg.data.unique().tolist()) <= {*range(19), 255}
    assert test['inputs'].shape[1:] == test_size
    assert test['data_samples'].gt_sem_seg.shape == (64, 128)


def test_coco_data(items):
    train, test = items('retinanet_r50-relu_fpn_1x_coco')
    # 128x64 grown until the long side is 1333.
    assert train['inputs'].shape == test['inputs'].shape == (3, 667, 1333)
    boxes = train['data_samples'].gt_instances.bboxes
    assert len(boxes) > 0
    assert boxes.tensor.max() > 128
    assert test['data_samples'].gt_instances.bboxes.tensor.max() <= 128


def test_classes_of_the_street_scenes(items, street_scenes):
    """The config's class list has the order of the annotation file, so that label k is category k."""
    stem = 'retinanet_r18-relu_fpn_1xb8-demo_street-scenes'
    classes = load(PATHS_BY_STEM[stem]).train_dataloader.dataset.metainfo.classes
    content = json.loads((street_scenes / 'annotations' / 'instances_train.json').read_text())
    assert list(classes) == [category['name'] for category in content['categories']]

    train, test = items(stem)
    assert train['inputs'].shape == test['inputs'].shape == (3, 128, 256)
    labels = torch.cat([item['data_samples'].gt_instances.labels for item in (train, test)])
    assert len(labels) > 0
    assert labels.max() < len(classes)
