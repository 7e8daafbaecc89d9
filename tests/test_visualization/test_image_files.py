"""Images and label maps: finding, pairing, reading."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mm_frelu.datasets.label_files import Renumbering
from mm_frelu.engine.errors import UserError
from mm_frelu.visualization.image_files import (
    ImageFile,
    LabelFolder,
    find_images,
    read_image,
    read_labels,
    targets_of,
)


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('L', (4, 3)).save(path)


def test_images_of_a_cityscapes_root_are_not_its_label_maps(tmp_path):
    image = tmp_path / 'leftImg8bit' / 'val' / 'a' / 'a_1_leftImg8bit.png'
    touch(
        image, *(tmp_path / 'gtFine' / f'a_1_gtFine_{kind}.png' for kind in ('color', 'labelIds'))
    )
    assert [found.path for found in find_images([str(tmp_path)])] == [image]


def test_an_image_that_is_named_twice_is_found_once(tmp_path):
    touch(tmp_path / 'a.png', tmp_path / 'b.png')
    found = find_images([str(tmp_path / 'b.png'), str(tmp_path)])
    assert [file.path.name for file in found] == ['b.png', 'a.png']


def test_plain_labels_are_paired_by_place_then_by_name(tmp_path):
    labels = tmp_path / 'labels'
    touch(labels / 'one' / 'x.png', labels / 'two' / 'x.png', labels / 'y.png')
    folder = LabelFolder(str(labels))
    for relative, expected in (('one/x.jpg', 'one/x.png'), ('three/y.jpg', 'y.png')):
        image = ImageFile(Path('photos', relative), Path(relative))
        assert folder.find(image) == labels / expected
    with pytest.raises(UserError, match='2 label maps could belong to it'):
        folder.find(ImageFile(Path('photos/x.jpg'), Path('x.jpg')))
    with pytest.raises(UserError, match='expected z.png'):
        folder.find(ImageFile(Path('photos/z.jpg'), Path('z.jpg')))


def test_photographs_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.new('RGB', (8, 4)).save(tmp_path / 'x.jpg', exif=exif)
    assert read_image(tmp_path / 'x.jpg').shape == (8, 4, 3)


def test_sixteen_bits_become_eight(tmp_path):
    array = np.array([[0, 256, 65535]], dtype=np.uint16)
    Image.fromarray(array).save(tmp_path / 'x.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'x.png')[0, :, 0], [0, 1, 255])


def test_a_palette_in_a_label_file_does_not_change_its_numbers(tmp_path):
    labels = np.array([[0, 1, 2, 255]], dtype=np.uint8)
    image = Image.fromarray(labels, mode='P')
    image.putpalette([7] * 768)
    image.save(tmp_path / 'x.png')
    np.testing.assert_array_equal(read_labels(tmp_path / 'x.png', (4, 1), 3), labels)


def test_zero_label_is_reduced_as_mmseg_does(tmp_path):
    from mmseg.datasets.transforms import LoadAnnotations

    labels = np.array([[0, 1, 3, 255], [3, 2, 1, 0]], dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / 'x.png')
    results = dict(seg_map_path=str(tmp_path / 'x.png'), reduce_zero_label=True, seg_fields=[])
    expected = LoadAnnotations(imdecode_backend='pillow').transform(results)['gt_seg_map']
    found = read_labels(tmp_path / 'x.png', (4, 2), 3, renumbering=Renumbering(True))
    np.testing.assert_array_equal(found, expected)


def test_label_maps_that_are_none(tmp_path):
    path = tmp_path / 'x.png'
    Image.new('RGB', (4, 3)).save(path)
    with pytest.raises(UserError, match=r'x\.png is a colour image \(RGB\)'):
        read_labels(path, (4, 3), 3)
    Image.new('L', (4, 3), 9).save(path)
    with pytest.raises(UserError, match=r'x\.png has labels that are not classes: 9'):
        read_labels(path, (4, 3), 3)
    with pytest.raises(UserError, match=r'x\.png is 4x3, its image 5x3'):
        read_labels(path, (5, 3), 30)
    path.write_text('no image')
    with pytest.raises(UserError, match=r'x\.png cannot be read'):
        read_labels(path, (4, 3), 3)


@pytest.mark.parametrize('absent', ['mmseg', 'mmdet'])
def test_images_are_read_without_the_other_library(tmp_path, monkeypatch, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    Image.new('RGB', (4, 2), (255, 0, 0)).save(tmp_path / 'x.png')
    image = read_image(tmp_path / 'x.png')
    assert image.shape == (2, 4, 3)
    assert image[0, 0].tolist() == [0, 0, 255]


def test_output_files_of_equal_names_get_a_number(tmp_path):
    files = [ImageFile(Path(name), Path(Path(name).name)) for name in ('a/1.jpg', 'b/1.jpg')]
    files.append(ImageFile(Path('c/city/1.v2_leftImg8bit.png'), Path('city/1.v2_leftImg8bit.png')))
    targets = targets_of(files, tmp_path, '_field.png')
    names = [str(target.relative_to(tmp_path)) for target in targets.values()]
    assert names == ['1_field.png', '1_2_field.png', 'city/1.v2_field.png']
