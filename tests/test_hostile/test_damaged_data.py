"""Damaged images, label maps and annotation files: training reads them, or one sentence names the file."""

import json
import warnings
from pathlib import Path
from random import Random

import cv2
import damage
import pytest
import tiny_project
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mm_frelu.datasets import check_datasets
from mm_frelu.datasets.street_scenes import generate_street_scenes
from mm_frelu.engine import UserError
from mm_frelu.engine.read_errors import name_files

LOADERS = ('train_dataloader', 'val_dataloader')
CASES = [pytest.param(3, id='some'), pytest.param(300, marks=pytest.mark.slow, id='many')]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """A few scenes, which the tests damage and restore."""
    folder = tmp_path_factory.mktemp('hostile') / 'scenes'
    generate_street_scenes(folder, train=2, val=2, size=(128, 64), seed=0)
    return folder


def read(settings):
    """Process data like training before the network: check, load, run the pipeline."""
    cfg = Config(settings)
    check_datasets(cfg, LOADERS)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        for loader in LOADERS:
            dataset = DATASETS.build(cfg[loader].dataset)
            name_files(dataset)
            for index in range(len(dataset)):
                dataset[index]


def try_cases(count, seed, file: Path, break_it, settings):
    """Damage a file in many ways; each result must be read, or refused with a helpful error."""
    whole = file.read_bytes()
    refused = 0
    try:
        for case in range(count):
            random = Random(f'{seed} {case}')
            file.write_bytes(break_it(whole, random))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter('ignore')
                    read(settings)
            except UserError as error:
                refused += 1
                assert 20 < len(str(error)) < 1500, f'case {case}: {error}'
                assert 'Traceback' not in str(error)
            except Exception as error:
                raise AssertionError(f'case {case} of {file.name}: {error!r}') from error
    finally:
        file.write_bytes(whole)
    assert refused >= count // 10, 'hardly anything was damaged'


@pytest.mark.parametrize('count', CASES)
@pytest.mark.parametrize('encoding', ['.png', '.jpg'])
def test_images(scenes, count, encoding):
    """A truncated JPEG can be decoded partly, a truncated PNG cannot."""
    file = sorted((scenes / 'leftImg8bit/train').rglob('*.png'))[0]
    whole = cv2.imencode(encoding, cv2.imread(str(file)))[1].tobytes()
    try_cases(
        count,
        f'image{encoding}',
        file,
        lambda _, random: damage.of_bytes(whole, random),
        tiny_project.segmentation(scenes),
    )


@pytest.mark.parametrize('count', CASES)
def test_label_maps(scenes, count):
    file = sorted((scenes / 'gtFine/train').rglob('*_labelTrainIds.png'))[0]
    try_cases(count, 'labels', file, damage.of_bytes, tiny_project.segmentation(scenes))


@pytest.mark.parametrize('count', CASES)
@pytest.mark.parametrize('split', ['train', 'val'])
def test_annotation_files(scenes, count, split):
    file = scenes / f'annotations/instances_{split}.json'
    content = json.loads(file.read_text())
    try_cases(
        count,
        f'coco {split}',
        file,
        lambda _, random: damage.of_json(content, random),
        tiny_project.detection(scenes),
    )
