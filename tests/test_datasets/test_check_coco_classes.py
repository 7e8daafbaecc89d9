"""COCO files like annotation tools export them: categories, classes and ids that mmdet fails on or misreads."""

import json
import shutil

import pytest
import tiny_project
from mmengine.config import Config

from mm_frelu.datasets import check_datasets
from mm_frelu.engine import UserError


@pytest.fixture
def data(street_scenes, tmp_path):
    shutil.copytree(street_scenes / 'annotations', tmp_path / 'scenes/annotations')
    (tmp_path / 'scenes/leftImg8bit').symlink_to(street_scenes / 'leftImg8bit')
    return tmp_path / 'scenes'


@pytest.fixture(params=['parsed', 'skimmed'])
def size(request, monkeypatch):
    """Small files are parsed; of large ones the text is searched."""
    if request.param == 'skimmed':
        monkeypatch.setattr('mm_frelu.datasets.coco_file._PARSE_UP_TO', 0)


def edit(data, change, split='train'):
    file = data / f'annotations/instances_{split}.json'
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def config_of(data, classes):
    cfg = Config(tiny_project.detection(data))
    for loader in ('train', 'val', 'test'):
        cfg[f'{loader}_dataloader'].dataset.metainfo = dict(classes=classes)
    cfg.model.bbox_head.num_classes = len(classes)
    return cfg


def message(data, *classes, loader='train_dataloader'):
    with pytest.raises(UserError) as raised:
        check_datasets(config_of(data, classes), (loader,))
    return str(raised.value)


def id_of(content, name):
    return next(entry['id'] for entry in content['categories'] if entry['name'] == name)


def test_a_root_category_with_the_name_of_a_class(data, size):
    """Roboflow puts the project's name in front, with id 0; projects are often called like their class."""
    edit(data, lambda content: content['categories'].insert(0, dict(id=0, name='car')))
    told = message(data, 'car')
    assert told.startswith('train_dataloader.dataset: 2 categories of ')
    assert "have the name 'car' (id 0 with 0 annotations, id " in told
    # It does not matter where it is no class.
    check_datasets(config_of(data, ('person',)), ('train_dataloader',))


def test_a_root_category_of_another_name_is_in_order(data, size):
    edit(data, lambda content: content['categories'].insert(0, dict(id=0, name='vehicles')))
    check_datasets(config_of(data, ('car',)), ('train_dataloader',))


def remove_boxes(*names):
    def change(content):
        ids = {id_of(content, name) for name in names}
        content['annotations'] = [a for a in content['annotations'] if a['category_id'] not in ids]

    return change


@pytest.mark.parametrize('split', ['train', 'val'])
def test_chosen_classes_without_a_box(data, size, split):
    edit(data, remove_boxes('train', 'bus'), split)
    told = message(data, 'bus', 'train', loader=f'{split}_dataloader')
    assert f'{split}_dataloader.dataset: no annotation of ' in told
    assert "belongs to the chosen classes ('bus', 'train'); its " in told
    assert "'car' (" in told


def test_one_class_without_a_box_is_a_warning(data, size, said, monkeypatch):
    edit(data, remove_boxes('train'))
    check_datasets(config_of(data, ('car', 'train')), ('train_dataloader',))
    text, _ = said
    assert '1 of the 2 classes have no annotation in' in text
    assert "'train'" in text
    said.clear()
    monkeypatch.setenv('RANK', '1')  # processes do not repeat each other
    check_datasets(config_of(data, ('car', 'train')), ('train_dataloader',))
    assert not said


def test_a_test_set_may_have_none(data, size, said):
    """Its predictions can be written; a warning says that the scores have no meaning."""
    edit(data, remove_boxes('bus'), 'val')
    check_datasets(config_of(data, ('bus',)), ('test_dataloader',))
    edit(data, lambda content: content['annotations'].clear(), 'val')
    check_datasets(config_of(data, ('bus',)), ('test_dataloader',))
    assert sum('1 of the 1 classes have no annotation' in text for text in said) == 1
    assert sum('every score will be -1' in text for text in said) == 1


def test_boxes_that_mmdet_leaves_out_do_not_count(data):
    def change(content):
        for annotation in content['annotations']:
            if annotation['category_id'] == id_of(content, 'car'):
                annotation['iscrowd'] = 1

    edit(data, change)
    assert 'no annotation of' in message(data, 'car')


def test_a_class_that_is_chosen_twice(data):
    assert "metainfo.classes has 'car' 2 times" in message(data, 'car', 'car')


@pytest.mark.parametrize(
    ('kind', 'key', 'value'),
    [
        ('images', 'width', '128'),
        ('images', 'height', '64'),
        ('annotations', 'area', '12.5'),
        ('annotations', 'iscrowd', '0'),
    ],
)
def test_numbers_written_as_text(data, size, kind, key, value):
    """Scripts that copy text from an XML file write numbers like this."""

    def change(content):
        content[kind][-1][key] = value

    edit(data, change)
    told = message(data, 'car')
    assert told.startswith(f'train_dataloader.dataset.ann_file: {data}/annotations')
    assert key in told
    assert value in told


@pytest.mark.parametrize('value', [None, 0, -5, True])
def test_sizes_that_are_none(data, value):
    edit(data, lambda content: content['images'][2].update(width=value))
    assert 'images[2] (id 3, ' in message(data, 'car')
    assert f'width is {value!r}' in message(data, 'car')


def test_attributes_of_an_annotation_are_nobodys_business(data, size):
    """CVAT lets users add attributes with any names."""

    def change(content):
        content['annotations'][0]['attributes'] = {'width': '5', 'occluded': False}

    edit(data, change)
    check_datasets(config_of(data, ('car',)), ('train_dataloader',))


def test_ids_that_are_text(data, size):
    """Converters of VOC use file names as image ids. mmdet and pycocotools accept them."""

    def change(content):
        for category in content['categories']:
            category['id'] = str(category['id'])
        for annotation in content['annotations']:
            annotation['category_id'] = str(annotation['category_id'])

    edit(data, change)
    check_datasets(config_of(data, ('car',)), ('train_dataloader',))
