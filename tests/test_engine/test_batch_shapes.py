"""Validation batches with images of several shapes are reported before training, with the file names."""

import shutil

import pytest
import tiny_project
from mmengine.config import Config
from PIL import Image

from mm_frelu.engine import UserError
from mm_frelu.engine.launch import train


@pytest.fixture
def data(street_scenes, tmp_path):
    return shutil.copytree(street_scenes, tmp_path / 'data')


def config(data, tmp_path, **loader):
    settings = tiny_project.segmentation(data)
    settings['val_dataloader'].update(batch_size=2, **loader)
    return Config(dict(settings, work_dir=str(tmp_path / 'run'), launcher='none'))


def crop(data, split, number):
    image = sorted((data / 'leftImg8bit' / split).rglob('*.png'))[number]
    name = image.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
    for file in (image, data / 'gtFine' / split / image.parent.name / name):
        Image.open(file).crop((0, 0, 64, 64)).save(file)
    return image


def test_before_training(data, tmp_path):
    cfg = config(data, tmp_path)
    odd = crop(data, 'val', -1)
    with pytest.raises(UserError) as raised:
        train(cfg)
    text = str(raised.value)
    assert text.startswith('val_dataloader.batch_size=2: ')
    assert f'{odd} (64x64, height x width) would be in one batch' in text
    assert 'val_dataloader.batch_size=1' in text
    assert not list(tmp_path.rglob('*.pth'))


def test_batches_of_one_shape_each_are_in_order(data, tmp_path):
    """The last two images, which are in one batch, are both square."""
    cfg = config(data, tmp_path)
    for number in (-1, -2):
        crop(data, 'val', number)
    train(cfg)
    assert list(tmp_path.rglob('iter_2.pth'))


def test_a_training_batch_of_several_shapes_names_its_pictures(data, tmp_path):
    cfg = config(data, tmp_path)
    cfg.model.data_preprocessor.size = (64, 64)
    odd = crop(data, 'train', 0)
    with pytest.raises(UserError) as raised:
        train(cfg)
    assert 'larger than model.data_preprocessor.size' in str(raised.value)
    assert 'RandomCrop' in str(raised.value)
    assert str(odd.parent) in str(raised.value)
