"""Keypoint datasets are checked before anything is built. For each mistake, a short message says where it is."""

import json
import shutil

import pytest

from mm_frelu.datasets.check_dataset import _reader
from mm_frelu.datasets.check_keypoints import check_keypoints
from mm_frelu.engine import UserError


def dataset_class(number):
    """Return a class that defines its number of keypoints like the dataset classes of MMPose."""
    load = staticmethod(lambda metainfo: dict(num_keypoints=number))
    return type('CocoDataset', (), dict(_load_metainfo=load))


@pytest.fixture
def folder(people_folder, tmp_path):
    """A copy of the dataset that a test may change."""
    return shutil.copytree(people_folder, tmp_path / 'people')


def check(folder, number=17, out_channels=17, key='train_dataloader.dataset', **changes):
    settings = dict(
        type='CocoDataset',
        data_root=str(folder),
        ann_file='annotations/person_keypoints_train.json',
        data_prefix=dict(img='train/'),
        **changes,
    )
    model = dict(type='TopdownPoseEstimator', head=dict(out_channels=out_channels))
    return check_keypoints(key, settings, dataset_class(number), model)


def change(folder, function):
    path = folder / 'annotations/person_keypoints_train.json'
    data = json.loads(path.read_text())
    function(data)
    path.write_text(json.dumps(data))


def refused(folder, **options):
    with pytest.raises(UserError) as error:
        check(folder, **options)
    return str(error.value)


def test_a_correct_dataset_passes(folder):
    assert len(check(folder)) == 6
    assert len(check(folder, number=None)) == 6


def test_a_missing_file(folder):
    (folder / 'annotations/person_keypoints_train.json').unlink()
    message = refused(folder)
    assert message.startswith('train_dataloader.dataset.ann_file: ')
    assert 'person_keypoints_train.json' in message


def test_a_missing_image(folder):
    (folder / 'train/000000000003.png').unlink()
    message = refused(folder)
    assert '1 of the 6 images do not exist' in message
    assert '000000000003.png' in message


def test_a_file_with_only_boxes(folder):
    def strip(data):
        for entry in data['annotations']:
            del entry['keypoints']

    change(folder, strip)
    message = refused(folder)
    assert 'annotations has keypoints and belongs to an image. Give the file' in message
    assert 'person_keypoints_train2017.json' in message


def test_no_labelled_keypoints(folder):
    def clear(data):
        for entry in data['annotations']:
            entry['keypoints'] = [0] * 51

    change(folder, clear)
    assert 'annotations has keypoints' in refused(folder)


def test_another_number_of_keypoints_in_the_file(folder):
    change(folder, lambda data: data['annotations'][1].update(keypoints=[1, 2, 2] * 14))
    message = refused(folder)
    assert 'annotations[1] (id 2): keypoints has 42 numbers. Expected 51 (17 keypoints)' in message
    assert 'metainfo' in message


def test_keypoints_that_are_not_numbers(folder):
    change(folder, lambda data: data['annotations'][0].update(keypoints='17'))
    assert "annotations[0] (id 1): keypoints is '17'. Expected a list of numbers" in refused(folder)


def test_another_number_of_keypoints_in_the_head(folder):
    message = refused(folder, out_channels=14)
    assert message.startswith('model.head.out_channels is 14, but train_dataloader.dataset')
    assert message.endswith('Set model.head.out_channels=17.')


def test_people_of_no_image(folder):
    """Text and numbers are different ids."""

    def as_text(data):
        for entry in data['annotations']:
            entry['image_id'] = str(entry['image_id'])

    change(folder, as_text)
    assert 'annotations has keypoints and belongs to an image' in refused(folder)


def test_iscrowd_is_needed(folder):
    """With it, pycocotools selects annotations when MMPose loads the file."""
    change(folder, lambda data: data['annotations'][1].pop('iscrowd'))
    assert "annotations[1] lacks 'iscrowd'" in refused(folder)


def test_a_test_set_with_detected_people_needs_no_annotations(folder):
    """Like image_info_test-dev2017.json of COCO."""
    change(folder, lambda data: data.pop('annotations'))
    assert len(check(folder, key='test_dataloader.dataset', bbox_file='people.json')) == 6
    assert 'none of the 0 annotations has keypoints' in refused(folder, bbox_file='people.json')


def test_mpii_is_another_format():
    """MMPose's class for MPII has the same base class, but reads a list of people."""
    base = type('BaseCocoStyleDataset', (), dict(load_data_list=None, _load_annotations=None))
    assert _reader(type('CocoDataset', (base,), {})) == 'CocoDataset'
    whole_body = type('CocoWholeBodyDataset', (base,), dict(parse_data_info=None))
    assert _reader(whole_body) == 'BaseCocoStyleDataset'
    assert _reader(type('MpiiDataset', (base,), dict(_load_annotations=None))) is None
