"""The line with the used images and boxes agrees with what mmdet uses."""

import json

import pytest
import tiny_project
from mmengine.config import Config

from mm_frelu.datasets import check_datasets
from mm_frelu.datasets.coco_counts import count_coco
from mm_frelu.datasets.coco_file import without_polygons
from mm_frelu.engine import UserError

LOADER = ('train_dataloader',)


def damage(content):
    """One annotation for every reason, and an image that loses all of its boxes."""
    first, second, third, fourth, fifth, *_ = content['annotations']
    first['bbox'] = [500, 10, 20, 20]
    second['bbox'][2] = 0.5
    third['area'] = 0
    fourth['image_id'] = str(fourth['image_id'])
    fifth['ignore'] = 1
    last = content['images'][-1]['id']
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] != last]
    content['images'].append(dict(content['images'][0], id=99, height=20, width=128))
    content['annotations'].append(
        dict(content['annotations'][-1], id=9999, image_id=99, bbox=[1, 1, 10, 10], area=100)
    )


@pytest.mark.parametrize('filters', [None, dict(filter_empty_gt=True, min_size=32)])
@pytest.mark.parametrize('classes', [tiny_project.CLASSES, ('person', 'car')])
@pytest.mark.parametrize('test_mode', [False, True])
def test_the_numbers_are_those_of_mmdet(data, filters, classes, test_mode, edit_annotations):
    from mmdet.datasets import CocoDataset

    content = edit_annotations(damage)
    settings = dict(
        ann_file='annotations/instances_train.json',
        data_root=str(data),
        data_prefix=dict(img='leftImg8bit/train'),
        metainfo=dict(classes=classes),
        filter_cfg=filters,
        test_mode=test_mode,
        serialize_data=False,
    )
    for annotation in content['annotations']:
        # pycocotools keeps the annotation of a missing image; mmdet never reads it.
        assert 'image_id' in annotation
    dataset = CocoDataset(pipeline=[], **settings)
    entries = [dataset.get_data_info(index) for index in range(len(dataset))]
    counts = count_coco(content, dict(settings, classes=classes))
    assert counts.images - sum(counts.images_left_out.values()) == len(entries)
    every = CocoDataset(pipeline=[], **dict(settings, filter_cfg=None))
    boxes = sum(len(every.get_data_info(index)['instances']) for index in range(len(every)))
    assert counts.boxes - sum(counts.boxes_left_out.values()) == boxes
    assert counts.background == sum(not entry['instances'] for entry in entries)


def test_one_line_names_every_reason(data, said, edit_annotations):
    content = edit_annotations(damage)
    cfg = Config(tiny_project.detection(data))
    cfg.train_dataloader.dataset.filter_cfg = dict(filter_empty_gt=True, min_size=32)
    check_datasets(cfg, LOADER)
    (line,) = [text for text in said if 'images used' in text]
    boxes = len(content['annotations'])
    assert line.startswith(f'train_dataloader.dataset: {data}/annotations/instances_train.json: ')
    assert '5 of 7 images used' in line
    assert '1 without a box of the classes (filter_empty_gt)' in line
    assert '1 smaller than 32 pixels (min_size)' in line
    assert f'; {boxes - 5} of {boxes} boxes used (left out: ' in line
    assert '2 of no area or less than one pixel wide or high' in line
    assert '1 outside of their image' in line
    assert '1 marked "ignore"' in line
    assert '1 of no image in the file' in line
    (warning,) = [text for text in said if 'and not used' in text]
    number = next(a['id'] for a in content['annotations'] if isinstance(a['image_id'], str))
    assert f'1 of {boxes} annotations are of no image in the file' in warning
    assert f'the first has the id {number}' in warning


def test_boxes_that_are_corners_are_told(data, said, edit_annotations):
    def corners(content):
        for annotation in content['annotations']:
            x, y, width, height = annotation['bbox']
            annotation['bbox'] = [x, y, x + width, y + height]

    edit_annotations(corners)
    check_datasets(Config(tiny_project.detection(data)), LOADER)
    (warning,) = [text for text in said if 'extend beyond their image' in text]
    assert 'bbox must be [x, y, width, height] in pixels' in warning


def test_categories_from_1_and_annotations_from_0_are_told(data, said, edit_annotations):
    """Every box gets the class before its own, and those of the first class get none."""

    def shift(content):
        for annotation in content['annotations']:
            annotation['category_id'] -= 1

    content = edit_annotations(shift)
    number = sum(annotation['category_id'] == 0 for annotation in content['annotations'])
    check_datasets(Config(tiny_project.detection(data)), LOADER)
    (warning,) = [text for text in said if 'and not used' in text]
    boxes = len(content['annotations'])
    assert f'{number} of {boxes} annotations are of no category in the file' in warning
    assert 'counts from 0 and the other from 1' in warning


def test_files_in_order_get_one_line_and_no_warning(data, said):
    check_datasets(Config(tiny_project.detection(data)), LOADER)
    (line,) = said
    assert '6 of 6 images used; ' in line
    assert 'left out' not in line


def test_processes_do_not_repeat_each_other(data, said, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    check_datasets(Config(tiny_project.detection(data)), LOADER)
    assert not said


@pytest.mark.parametrize(
    ('kind', 'name'), [('images', 'file_name'), ('categories', 'name'), ('annotations', 'image_id')]
)
def test_two_entries_with_one_id(kind, name, data, edit_annotations):
    def change(content):
        content[kind][2]['id'] = content[kind][0]['id']

    content = edit_annotations(change)
    with pytest.raises(UserError) as error:
        check_datasets(Config(tiny_project.detection(data)), LOADER)
    text = str(error.value)
    assert f'2 {kind} have the id 1, {kind}[0] ({name} {content[kind][0][name]!r})' in text
    assert f'{kind}[2] ({name} {content[kind][2][name]!r})' in text


@pytest.mark.parametrize(
    ('value', 'shorter'),
    [
        ([[1.5, 2, 3]], []),
        ([[1, 2], [3, 4e-5]], []),
        ([], []),
        ({'counts': 'a]]b', 'size': [1, 2]}, None),
        ({'counts': [1, 2], 'size': [1, 2]}, None),
        (None, None),
    ],
)
@pytest.mark.parametrize('indent', [None, 1])
def test_polygons_are_cut_out_and_nothing_else(value, shorter, indent):
    other = {'id': 1, 'bbox': [1, 2, 3, 4], 'nested': [[5, 6]], 'text': 'a "segmentation": [[1]]'}
    content = [dict(segmentation=value, **other), dict(other, segmentation=value)]
    found = json.loads(without_polygons(json.dumps(content, indent=indent).encode()))
    assert [entry['segmentation'] for entry in found] in ([shorter] * 2, [value] * 2)
    if indent is None and shorter is not None:
        assert [entry['segmentation'] for entry in found] == [shorter] * 2
    assert [{k: v for k, v in entry.items() if k != 'segmentation'} for entry in found] == [
        other
    ] * 2


@pytest.mark.slow
def test_a_file_of_the_size_of_coco_takes_seconds(tmp_path):
    import time

    from coco_sized import CATEGORIES, write

    from mm_frelu.datasets.check_coco import check_coco

    settings = dict(
        ann_file=str(write(tmp_path)),
        data_prefix=dict(img=str(tmp_path / 'images')),
        classes=[f'class {index}' for index in range(CATEGORIES)],
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    )
    start = time.monotonic()
    images = check_coco('train_dataloader.dataset', settings)
    assert len(images) == 118287
    assert time.monotonic() - start < 60


def test_an_entry_that_is_written_twice_is_counted(data, said, edit_annotations):
    edit_annotations(lambda content: content['images'].append(dict(content['images'][0])))
    check_datasets(Config(tiny_project.detection(data)), LOADER)
    assert '6 of 7 images used (left out: 1 written twice)' in said[0]


def test_a_picture_under_two_ids_is_told(data, said, edit_annotations):
    content = edit_annotations(
        lambda content: content['images'].append(dict(content['images'][0], id=77))
    )
    check_datasets(Config(tiny_project.detection(data)), LOADER)
    name = content['images'][0]['file_name']
    assert f'1 images are listed under several ids, {name} for example under 1 and 77' in said[-1]
