"""Images that are rotated when they are read, and images whose size differs from their annotations."""

import pytest
import tiny_project
from mmengine.config import Config
from PIL import Image

from mm_frelu.datasets import check_datasets
from mm_frelu.datasets.check_pictures import sample, turns_pictures

TRAIN = ('train_dataloader',)
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def _as_jpeg(data, edit_annotations):
    """Cameras write JPEG files."""

    def rename(content):
        for image in content['images']:
            image['file_name'] = image['file_name'][:-3] + 'jpg'

    for file in (data / 'leftImg8bit').rglob('*.png'):
        Image.open(file).convert('RGB').save(file.with_suffix('.jpg'))
        file.unlink()
    for split in ('train', 'val'):
        edit_annotations(rename, split)


def images(data):
    return sorted((data / 'leftImg8bit/train').rglob('*.jpg'))


def turn(file, orientation, size=None):
    image = Image.open(file)
    image.load()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    (image.resize(size) if size else image).save(file, exif=exif)


def warnings_of(cfg, said):
    check_datasets(cfg, TRAIN)
    return [text for text in said if 'checked images' in text]


def detection(data, **load):
    cfg = Config(tiny_project.detection(data))
    cfg.train_dataloader.dataset.pipeline[0].update(load)
    return cfg


def segmentation(data):
    cfg = Config(tiny_project.segmentation(data))
    cfg.train_dataloader.dataset.update(
        type='BaseSegDataset',
        img_suffix='_leftImg8bit.jpg',
        seg_map_suffix='_gtFine_labelTrainIds.png',
        metainfo=dict(classes=tuple(map(str, range(19)))),
    )
    return cfg


def test_mmcv_really_turns_pictures(data):
    """The reason for the warning."""
    import mmcv

    turn(images(data)[0], 6)
    assert mmcv.imread(str(images(data)[0])).shape == (128, 64, 3)
    as_stored = mmcv.imread(str(images(data)[0]), flag='color_ignore_orientation')
    assert as_stored.shape == (64, 128, 3)


def test_boxes_that_were_drawn_on_the_picture_as_it_is_stored(data, said):
    for file in images(data)[:2]:
        turn(file, 6)
    (text,) = warnings_of(detection(data), said)
    assert text.startswith('train_dataloader.dataset: 2 of 6 checked images are stored on')
    assert (
        f'{images(data)[0]} (orientation 6) is 64x128 as the pipeline reads it, but 128x64' in text
    )
    assert "Set color_type='color_ignore_orientation'" in text
    said.clear()
    assert not warnings_of(detection(data, color_type='color_ignore_orientation'), said)


def test_boxes_that_were_drawn_on_the_turned_picture(data, said, edit_annotations):
    turn(images(data)[0], 8)
    name = images(data)[0].name

    def upright(content):
        for image in content['images']:
            if image['file_name'].endswith(name):
                image.update(width=64, height=128)

    edit_annotations(upright)
    assert not warnings_of(detection(data), said)
    (text,) = warnings_of(detection(data, color_type='color_ignore_orientation'), said)
    assert 'is 128x64 as the pipeline reads it, but 64x128' in text
    assert 'Leave color_type out' in text


def test_pictures_on_their_head_cannot_be_told_by_size(data, said):
    turn(images(data)[0], 3)
    (text,) = warnings_of(detection(data), said)
    assert '1 of 6 checked images are rotated when they are read (EXIF)' in text
    assert '(orientation 3)' in text


def test_pictures_that_were_made_smaller(data, said):
    turn(images(data)[0], 1, (64, 32))
    (text,) = warnings_of(detection(data), said)
    assert '1 of 6 checked images have another size than their boxes' in text
    assert 'is 64x32, but 128x64 in ' in text


def test_labels_of_turned_pictures(data, said):
    turn(images(data)[0], 6)
    turn(images(data)[1], 3)
    on_the_side, on_the_head = warnings_of(segmentation(data), said)
    assert 'and their labels do not fit' in on_the_side
    assert 'whether their labels fit' in on_the_head


def test_pictures_that_pillow_cannot_read_are_left_to_the_loader(data, said):
    images(data)[0].write_bytes(b'no picture')
    assert not warnings_of(detection(data), said)


def test_which_loaders_turn():
    load = dict(type='LoadImageFromFile')
    assert turns_pictures([load])
    assert turns_pictures([dict(load, imdecode_backend='pillow')])
    assert not turns_pictures([dict(load, color_type='unchanged')])
    assert not turns_pictures([dict(load, imdecode_backend='turbojpeg')])


def test_a_sample_is_spread_over_everything():
    assert sample(range(5), 9) == [0, 1, 2, 3, 4]
    assert sample(range(100), 4) == [0, 25, 50, 75]
