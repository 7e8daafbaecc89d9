"""Errors about missing or unsuitable datasets, before anything is built."""

import importlib
import json
import math
import os
import shutil

import pytest
import tiny_project
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmseg.datasets import CityscapesDataset

from mm_frelu.datasets import check_datasets
from mm_frelu.datasets.check_classes import check_num_classes
from mm_frelu.datasets.check_coco import read_checked
from mm_frelu.datasets.check_dataset import leaf_datasets, with_defaults
from mm_frelu.engine import UserError
from mm_frelu.engine.arguments import read_config
from mm_frelu.engine.config_types import class_of

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@pytest.fixture
def segmentation(data):
    return Config(tiny_project.segmentation(data))


@pytest.fixture
def detection(data):
    return Config(tiny_project.detection(data))


def message(cfg) -> str:
    with pytest.raises(UserError) as error:
        check_datasets(cfg, LOADERS)
    return str(error.value)


def edit(file, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_whole_datasets_pass(segmentation, detection):
    check_datasets(segmentation, LOADERS)
    check_datasets(detection, LOADERS)


def test_a_dataloader_is_a_dict(segmentation):
    segmentation.train_dataloader = True
    assert message(segmentation).startswith('train_dataloader=True is not a dict with a dataset.')


def test_a_missing_root_says_key_path_layout_and_what_is_there(segmentation, data):
    segmentation.train_dataloader.dataset.data_root = str(data / 'cityscapes')
    text = message(segmentation)
    assert text.startswith('train_dataloader.dataset.data_root: the folder')
    assert f'looked for {data / "cityscapes"}' in text
    assert 'leftImg8bit/train/**/*_leftImg8bit.png' in text
    assert f'exists up to {data}, which has annotations, gtFine, leftImg8bit' in text
    assert 'CITYSCAPES_DATASET' in text


@pytest.mark.parametrize('part', ['img_path', 'seg_map_path'])
def test_a_missing_folder_inside_the_root(segmentation, part):
    segmentation.val_dataloader.dataset.data_prefix[part] = 'nowhere'
    assert message(segmentation).startswith(
        f'val_dataloader.dataset.data_prefix.{part}: the folder'
    )


def test_images_with_another_suffix_are_counted(segmentation):
    segmentation.train_dataloader.dataset.img_suffix = '.jpg'
    text = message(segmentation)
    assert "has no image that ends with '.jpg'; found 6 .png" in text


def test_images_without_labels_are_counted_and_the_train_ids_explained(segmentation, data):
    gone = sorted((data / 'gtFine/train').glob('*/*_labelTrainIds.png'))
    for label in gone[2:]:
        label.unlink()
    text = message(segmentation)
    assert '4 of 6 images have no label file' in text
    assert str(gone[2]) in text
    assert 'csCreateTrainIdLabelImgs' in text


def test_a_test_set_without_labels_needs_none(segmentation, data):
    shutil.rmtree(data / 'gtFine')
    loader = segmentation.test_dataloader
    loader.dataset.pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    segmentation.test_evaluator.format_only = True
    check_datasets(segmentation, ('test_dataloader',))


def test_a_split_file_is_read(segmentation, data):
    names = [
        path.relative_to(data / 'leftImg8bit/train').as_posix()[: -len('_leftImg8bit.png')]
        for path in sorted((data / 'leftImg8bit/train').glob('*/*.png'))
    ]
    segmentation.train_dataloader.dataset.ann_file = 'split.txt'
    assert 'train_dataloader.dataset.ann_file: the file' in message(segmentation)
    (data / 'split.txt').write_text('\n'.join(names[:2]))
    check_datasets(segmentation, ('train_dataloader',))
    (data / 'split.txt').write_text('\n'.join([*names, 'town/lost']))
    assert '1 of 7 images named in' in message(segmentation)
    (data / 'split.txt').write_text('\n'.join([*names, '', '']))
    assert f'line 7 of {data}/split.txt is empty' in message(segmentation)
    (data / 'split.txt').write_text('')
    assert f'{data}/split.txt is empty. Expected an image name per line' in message(segmentation)


@pytest.mark.parametrize('start', ['./', '../train/'])
def test_a_split_file_may_have_any_relative_path(segmentation, data, start):
    """mmseg joins the path, so what ``find . -name`` prints is in order."""
    names = [
        path.relative_to(data / 'leftImg8bit/train').as_posix()[: -len('_leftImg8bit.png')]
        for path in sorted((data / 'leftImg8bit/train').glob('*/*.png'))
    ]
    segmentation.train_dataloader.dataset.ann_file = 'split.txt'
    (data / 'split.txt').write_text('\n'.join(start + name for name in names))
    check_datasets(segmentation, ('train_dataloader',))


@pytest.mark.parametrize('kind', ['segmentation', 'detection'])
@pytest.mark.parametrize('value', ['train/', {'image': 'train/'}])
def test_a_prefix_of_another_library(kind, value, request):
    cfg = request.getfixturevalue(kind)
    cfg.train_dataloader.dataset['data_prefix'] = value
    name = dict(segmentation='img_path', detection='img')[kind]
    text = message(cfg)
    assert text.startswith(f'train_dataloader.dataset.data_prefix is {value!r}. Expected a dict')
    assert f'dict({name}="images")' in text


def test_data_that_the_user_may_not_read(segmentation, tmp_path):
    folder = tmp_path / 'locked'
    (folder / 'data').mkdir(parents=True)
    folder.chmod(0)
    segmentation.train_dataloader.dataset.data_root = str(folder / 'data')
    is_root = os.geteuid() == 0
    if is_root:  # who may read everything
        os.seteuid(65534)
    try:
        text = message(segmentation)
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)
    assert f'the folder {folder}/data cannot be read by this user' in text


def test_datasets_inside_wrappers_are_found(segmentation):
    inner = segmentation.train_dataloader.dataset
    broken = dict(inner, data_root='nowhere')
    segmentation.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[inner, broken])
    )
    start = 'train_dataloader.dataset.dataset.datasets.1.data_root: the folder nowhere'
    assert message(segmentation).startswith(start)


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ('', 'is empty'),
        ('version https://git-lfs.github.com/spec/v1\n', 'Git LFS pointer'),
        ('{"images": [', 'is not JSON'),
        ('[1, 2]', 'is not in COCO format: it lacks images, annotations, categories (found: list)'),
        ('{"metainfo": {}, "data_list": []}', '(found: metainfo, data_list)'),
        (
            '{"images": [{}], "annotations": [], "categories": []}',
            "images[0] lacks 'id', 'file_name'",
        ),
        ('{"images": [], "annotations": [], "categories": []}', 'has no images'),
    ],
)
def test_annotation_files_that_are_none(content, expected, detection, data):
    file = data / 'annotations/instances_train.json'
    file.write_text(content)
    text = message(detection)
    assert text.startswith(f'train_dataloader.dataset.ann_file: {file}')
    assert expected in text


def test_images_without_annotations_and_a_wrong_image_folder(detection, data):
    detection.train_dataloader.dataset.data_prefix.img = 'leftImg8bit/val/'
    text = message(detection)
    assert '6 of the 6 images do not exist' in text
    detection.train_dataloader.dataset.data_prefix.img = 'leftImg8bit/train/'
    edit(data / 'annotations/instances_train.json', lambda coco: coco['annotations'].clear())
    assert 'no annotations, so there is nothing to learn' in message(detection)
    detection.train_dataloader = None
    edit(data / 'annotations/instances_val.json', lambda coco: coco['annotations'].clear())
    assert 'no annotations, so there is nothing to compare with' in message(detection)
    check_datasets(detection, ('test_dataloader',))


@pytest.mark.parametrize(
    ('kind', 'change', 'expected'),
    [
        (
            'images',
            lambda entry: entry.pop('width'),
            "images[0] lacks 'width' (found: id, file_name",
        ),
        ('categories', lambda entry: entry.pop('id'), "categories[0] lacks 'id'"),
        ('annotations', lambda entry: entry.pop('bbox'), "annotations[0] lacks 'bbox'"),
        ('annotations', lambda entry: entry.pop('area'), "annotations[0] lacks 'area'"),
        (
            'annotations',
            lambda entry: entry.update(bbox=None),
            'annotations[0] (id 1): bbox is None',
        ),
        ('annotations', lambda entry: entry.update(bbox=['1'] * 4), "bbox is ['1', '1', '1', '1']"),
        (
            'annotations',
            lambda entry: entry.update(area=math.inf),
            'area inf. Expected bbox as four',
        ),
        (
            'annotations',
            lambda entry: entry.update(bbox=[1, 2, math.nan, 4]),
            'bbox is [1, 2, nan, 4]',
        ),
        ('images', lambda entry: entry.update(width=math.nan), 'width is nan'),
        ('annotations', lambda entry: entry.update(iscrowd=1), 'left out: 67 marked "iscrowd")'),
        ('annotations', lambda entry: entry.update(ignore=1), 'left out: 67 marked "ignore")'),
        (
            'annotations',
            lambda entry: entry.update(image_id=1.0),
            'image_id is 1.0. Expected an int',
        ),
        ('annotations', lambda entry: entry.update(id=1), 'annotations have the id 1'),
        (
            'annotations',
            lambda entry: entry.update(image_id=77),
            'none can be used (left out: 67 of no image in the file), so there is nothing to learn',
        ),
        (
            'annotations',
            lambda entry: entry.update(category_id=77),
            'none can be used (left out: 67 of no category in the file)',
        ),
        (
            'annotations',
            lambda entry: entry.update(bbox=[1, 1, 0, 0]),
            '67 of no area or less than one pixel',
        ),
    ],
)
def test_entries_that_mmdet_would_stumble_over(kind, change, expected, detection, data):
    edit(data / 'annotations/instances_train.json', lambda coco: [change(e) for e in coco[kind]])
    text = message(detection)
    assert text.startswith('train_dataloader.dataset.ann_file: ')
    assert expected in text


def test_iscrowd_is_needed_for_evaluation_alone(detection, data):
    def change(coco):
        for entry in coco['annotations']:
            del entry['iscrowd']

    edit(data / 'annotations/instances_train.json', change)
    check_datasets(detection, LOADERS)
    edit(data / 'annotations/instances_val.json', change)
    assert "instances_val.json: annotations[0] lacks 'iscrowd'" in message(detection)
    detection.test_dataloader = None
    del detection.val_dataloader.dataset['test_mode']  # False is the default
    assert "instances_val.json: annotations[0] lacks 'iscrowd'" in message(detection)


def test_further_keys_are_nobodys_business(detection, data):
    def change(coco):
        coco['licence'] = 'ours'
        coco['annotations'][0].update(score=0.5, area=float(coco['annotations'][0]['area']))

    edit(data / 'annotations/instances_train.json', change)
    check_datasets(detection, LOADERS)


def panoptic(coco):
    coco['annotations'] = [dict(image_id=1, file_name='1.png', segments_info=[])]


def lvis(coco):
    for image in coco['images']:
        image['coco_url'] = f'http://images.cocodataset.org/{image.pop("file_name")}'


def objects365(coco):
    for image in coco['images']:
        image['file_name'] = f'images/v1/{image["file_name"]}'


@pytest.mark.parametrize(
    ('kind', 'change'),
    [
        ('CocoPanopticDataset', panoptic),
        ('LVISV1Dataset', lvis),
        ('Objects365V2Dataset', objects365),
    ],
)
def test_formats_that_resemble_coco_are_left_to_mmdet(kind, change, detection, data):
    edit(data / 'annotations/instances_train.json', change)
    detection.train_dataloader.dataset.type = kind
    check_datasets(detection, ('train_dataloader',))
    detection.train_dataloader.dataset.ann_file = 'nowhere.json'
    assert 'train_dataloader.dataset.ann_file: the file' in message(detection)


def test_an_own_way_to_find_images_is_left_to_mmseg(segmentation, data):
    class Pairs(CityscapesDataset):
        def load_data_list(self):
            return []

    segmentation.train_dataloader.dataset.update(type=Pairs, img_suffix='.jpg')
    check_datasets(segmentation, ('train_dataloader',))


def test_classes_that_the_file_lacks_or_orders_otherwise(detection):
    dataset = detection.train_dataloader.dataset
    dataset.metainfo = dict(classes=('aeroplane', 'boat'))
    assert "none of the 2 classes ('aeroplane', 'boat') is a category" in message(detection)
    dataset.metainfo = dict(classes=('person', 'boat'))
    assert '1 of the 2 classes are not categories' in message(detection)
    dataset.metainfo = dict(classes=('car', 'person'))
    assert "class 0 is 'car' in the config but 'person' in" in message(detection)
    del dataset['metainfo']  # CocoDataset's own 80
    assert 'of the 80 classes' in message(detection)


def test_mmdet_really_numbers_classes_in_the_order_of_the_file(detection):
    """The reason for refusing another order: mmdet would name cars "person"."""
    from mmdet.datasets import CocoDataset

    settings = detection.val_dataloader.dataset.to_dict()
    settings.pop('type')
    settings.update(metainfo=dict(classes=('car', 'person')), pipeline=[])
    dataset = CocoDataset(**settings)
    assert dataset.cat2label[1] == 0  # category 1 is person; label 0 is called 'car'


def test_large_files_are_read_without_polygons_with_the_same_result(detection, data, monkeypatch):
    file = str(data / 'annotations/instances_train.json')
    parsed = read_checked('x', file, need_iscrowd=True)
    monkeypatch.setattr('mm_frelu.datasets.coco_file._PARSE_UP_TO', 0)
    shorter = read_checked('x', file, need_iscrowd=True)
    assert shorter == parsed  # the scenes have masks, which stay
    check_datasets(detection, LOADERS)
    text = (data / 'annotations/instances_train.json').read_text()
    (data / 'annotations/instances_train.json').write_text(text[:-100])
    assert 'is cut off after' in message(detection)


def test_the_evaluators_own_annotation_file_is_checked(detection):
    detection.val_evaluator.ann_file = 'nowhere.json'
    assert message(detection).startswith('val_evaluator.ann_file: the file nowhere.json')


def test_heads_have_to_count_the_classes_of_the_dataset(segmentation, detection):
    segmentation.model.auxiliary_head.num_classes = 150
    text = message(segmentation)
    assert text.startswith('model.auxiliary_head.num_classes is 150, but train_dataloader.dataset')
    assert 'has 19 classes (road, sidewalk, building, ...)' in text
    detection.model = dict(type='ReplaceActivation', model=detection.model)
    detection.model.model.bbox_head.num_classes = 80
    assert message(detection).startswith('model.model.bbox_head.num_classes is 80')


@pytest.mark.parametrize(
    'config',
    [
        'mmdet::mm_grounding_dino/grounding_dino_swin-b_pretrain_all.py',
        'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
        'mmdet::sort/sort_faster-rcnn_r50_fpn_8xb2-4e_mot17train_test-mot17test.py',
        'mmseg::san/san-vit-b16_voc12aug-640x640.py',
        'mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024.py',
    ],
)
def test_heads_that_count_something_else(config):
    cfg = read_config(config)
    library = config.partition('::')[0]
    importlib.import_module(f'{library}.datasets')
    checked = 0
    for loader in ('train_dataloader', 'val_dataloader'):
        for key, dataset in leaf_datasets((cfg[loader] or {}).get('dataset'), loader):
            cls = class_of(dataset, DATASETS, library)
            check_num_classes(cfg.model, key, with_defaults(dataset, cls), cls)
            checked += 1
    assert checked


def test_a_forgotten_comma_in_the_classes_is_told(detection):
    detection.train_dataloader.dataset.metainfo = dict(classes='person')
    assert "classes=('person',)" in message(detection)


def test_data_behind_a_storage_backend_is_not_looked_for(segmentation):
    for loader in LOADERS:
        segmentation[loader].dataset.data_root = 's3://bucket/cityscapes'
    check_datasets(segmentation, LOADERS)
