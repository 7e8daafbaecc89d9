"""Results are compared with the file that the images come from."""

import json
import shutil

import pytest
import tiny_project
from mmengine.config import Config

from mm_frelu.datasets import check_datasets
from mm_frelu.engine import UserError

LOADERS = ('val_dataloader',)


@pytest.fixture
def cfg(data):
    return Config(tiny_project.detection(data))


def warnings_in(said):
    return [text for text in said if 'images used' not in text]


def other_file(data, change):
    content = json.loads((data / 'annotations/instances_val.json').read_text())
    change(content)
    file = data / 'annotations/other.json'
    file.write_text(json.dumps(content))
    return str(file)


def message(cfg):
    with pytest.raises(UserError) as error:
        check_datasets(cfg, LOADERS)
    return str(error.value)


def test_the_same_file_by_another_path_is_the_same_file(cfg, data, said):
    link = data / 'link.json'
    link.symlink_to(data / 'annotations/instances_val.json')
    cfg.val_evaluator.ann_file = str(link)
    check_datasets(cfg, LOADERS)
    assert not warnings_in(said)


def test_the_file_of_another_split(cfg, data):
    cfg.val_evaluator.ann_file = str(data / 'annotations/instances_train.json')
    text = message(cfg)
    assert text.startswith(f'val_evaluator.ann_file: {cfg.val_evaluator.ann_file} is not the file')
    assert 'the image with the id 1 is ' in text
    assert 'Give val_evaluator.ann_file the file that val_dataloader.dataset reads' in text


def test_the_evaluator_may_be_a_list(cfg, data):
    other = dict(cfg.val_evaluator, ann_file=str(data / 'annotations/instances_train.json'))
    cfg.val_evaluator = [cfg.val_evaluator, other]
    text = message(cfg)
    assert text.startswith('val_evaluator.1.ann_file: ')  # also the key for --cfg-options
    assert 'instances_train.json is not the file of the dataloader' in text


def test_other_boxes_for_the_same_images_are_a_warning(cfg, data, said):
    cfg.val_evaluator.ann_file = other_file(data, lambda content: content['annotations'].pop())
    check_datasets(cfg, LOADERS)
    (text,) = warnings_in(said)
    assert 'other.json, but val_dataloader.dataset reads ' in text


def test_an_image_more_or_less(cfg, data):
    def more(content):
        content['images'].append(dict(content['images'][0], id=77, file_name='77.png'))

    cfg.val_evaluator.ann_file = other_file(data, more)
    assert 'has 1 images more than the file of the dataloader' in message(cfg)

    def less(content):
        number = content['images'].pop()['id']
        content['annotations'] = [a for a in content['annotations'] if a['image_id'] != number]

    cfg.val_evaluator.ann_file = other_file(data, less)
    assert 'and no image in this file' in message(cfg)


def test_equal_names_in_other_folders_are_other_images(cfg, data):
    def rename(numbers):
        def change(content):
            for image, number in zip(content['images'], numbers):
                image['file_name'] = f'drive{number // 2}/{number % 2}.png'

        return change

    for number, image in enumerate(sorted((data / 'leftImg8bit/val').rglob('*.png'))):
        target = data / f'leftImg8bit/val/drive{number // 2}/{number % 2}.png'
        target.parent.mkdir(exist_ok=True)
        image.rename(target)
    cfg.val_dataloader.dataset.ann_file = other_file(data, rename((0, 1, 2, 3)))
    shutil.copy(data / 'annotations/other.json', data / 'annotations/same.json')
    cfg.val_evaluator.ann_file = str(data / 'annotations/same.json')
    check_datasets(cfg, LOADERS)
    other_file(data, rename((2, 1, 0, 3)))
    assert 'is drive1/0.png in the dataloader and drive0/0.png in this file' in message(cfg)


def test_another_order_of_the_categories(cfg, data):
    cfg.val_evaluator.ann_file = other_file(data, lambda content: content['categories'].reverse())
    assert "val_evaluator.ann_file: class 0 is 'person' in the config but" in message(cfg)


def test_ids_that_two_files_share(cfg, data):
    first = cfg.val_dataloader.dataset
    second = dict(first, ann_file='annotations/instances_train.json')
    second['data_prefix'] = dict(img='leftImg8bit/train/')
    cfg.val_dataloader.dataset = dict(type='ConcatDataset', datasets=[first, second])
    text = message(cfg)
    assert 'instances_val.json and ' in text
    assert 'instances_train.json both have an image with the id 1' in text
    # A metric for each.
    metric = cfg.val_evaluator
    other = dict(metric, ann_file=str(data / 'annotations/instances_train.json'))
    cfg.val_evaluator = dict(type='MultiDatasetsEvaluator', metrics=[metric, other])
    check_datasets(cfg, LOADERS)
    # And for training ids do not matter.
    cfg.train_dataloader.dataset = cfg.val_dataloader.dataset
    check_datasets(cfg, ('train_dataloader',))


def test_a_part_of_the_images(cfg, said):
    cfg.val_dataloader.dataset.indices = 2
    check_datasets(cfg, LOADERS)
    (text,) = warnings_in(said)
    assert text.startswith('val_dataloader.dataset.indices selects a part of ')


def test_images_that_are_filtered_out_of_a_validation_set(cfg, said):
    cfg.val_dataloader.dataset.filter_cfg = dict(min_size=32)
    check_datasets(cfg, LOADERS)
    assert not warnings_in(said)  # a test set is not filtered
    cfg.val_dataloader.dataset.test_mode = False
    check_datasets(cfg, LOADERS)
    (text,) = warnings_in(said)
    assert "val_dataloader.dataset.filter_cfg={'min_size': 32} selects a part of " in text
    assert 'Set val_dataloader.dataset.test_mode=True.' in text
