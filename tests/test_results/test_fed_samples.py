"""Samples of a config's dataset inside of wrappers, and labels that are no classes."""

import shutil

import numpy as np
import pytest
import tiny_project
from matplotlib.text import Text
from mmengine.config import Config
from PIL import Image

from mm_frelu.engine.errors import UserError
from mm_frelu.results.fed_samples import FedDataset, FedSample


@pytest.fixture
def cfg(street_scenes, tmp_path):
    """Label files in which 254 means "not labelled"."""
    data = shutil.copytree(street_scenes, tmp_path / 'data')
    for file in (data / 'gtFine/train').rglob('*_labelTrainIds.png'):
        ids = np.array(Image.open(file))
        ids[ids == 255] = 254
        ids[0, 0] = 254
        Image.fromarray(ids).save(file)
    cfg = Config(tiny_project.segmentation(data))
    dataset = cfg.train_dataloader.dataset
    dataset.ignore_index = 254
    del dataset.pipeline[2]  # CheckLabelIds
    return cfg


@pytest.mark.parametrize(
    'wrap',
    [
        lambda dataset: dataset,
        lambda dataset: dict(type='RepeatDataset', times=2, dataset=dataset),
        lambda dataset: dict(type='ConcatDataset', datasets=[dataset, dataset]),
    ],
)
def test_wrappers_keep_the_ignored_label(cfg, wrap):
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
    dataset = FedDataset(cfg, 'seg.py', 'train')
    assert dataset.ignore_index == 254
    assert len(dataset.palette) == len(dataset.classes) == 19
    assert dataset.sample(0).labels[0, 0] == 254


def test_labels_that_are_no_classes(cfg):
    del cfg.train_dataloader.dataset['ignore_index']
    with pytest.raises(UserError, match=r'labels of .*png have the value 254 in .* or 255'):
        FedDataset(cfg, 'seg.py', 'train').sample(0)


def test_a_class_without_a_name():
    tool = tiny_project.load_tool('analysis_tools/browse_dataset.py')

    class Unnamed:
        classes = ()

    sample = FedSample('a.png', np.zeros((20, 30, 3), np.uint8), category=3)
    texts = [text.get_text() for text in tool.draw(sample, Unnamed).findobj(Text)]
    assert 'class 3: a.png, 30 x 20' in texts
