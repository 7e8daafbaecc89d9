"""The pickle of a test, read beside the annotations."""

import json
import pickle
import shutil

import numpy as np
import pytest
from results_of import detection_config, write_detections

from mm_frelu.engine.errors import UserError
from mm_frelu.evaluation.average_precision import average_precision
from mm_frelu.results.detection_pictures import pictures_of_files, pictures_of_set
from mm_frelu.results.detection_results import read_detections
from mm_frelu.results.detection_set import load_detection_set, read_annotations
from mm_frelu.visualization.image_files import find_images


@pytest.fixture(scope='module')
def test_set(street_scenes, tmp_path_factory):
    return load_detection_set(
        detection_config(street_scenes, tmp_path_factory.mktemp('det')), 'det.py'
    )


def entries_of(test_set, **changes):
    entries = []
    for key, image in test_set.images.items():
        labels = image.truth.labels
        entries.append(
            (key, image.path, image.truth.boxes, labels, np.linspace(0.1, 0.9, len(labels)))
        )
    return entries


def test_annotations_are_those_of_the_file(test_set, street_scenes):
    content = json.loads((street_scenes / 'annotations/instances_val.json').read_text())
    names = [category['name'] for category in content['categories']]
    assert list(test_set.classes) == names
    assert sum(len(image.truth.labels) for image in test_set.images.values()) == len(
        content['annotations']
    )
    annotation = content['annotations'][0]
    truth = test_set.images[annotation['image_id']].truth
    x, y, width, height = annotation['bbox']
    assert truth.boxes[0].tolist() == [x, y, x + width, y + height]
    assert truth.areas[0] == annotation['area']


def test_ap_of_annotations_marked_ignore_is_that_of_mmdet(street_scenes, tmp_path):
    """COCOeval does not leave them out."""
    from mmdet.evaluation import CocoMetric

    data = shutil.copytree(street_scenes, tmp_path / 'data')
    file = data / 'annotations/instances_val.json'
    content = json.loads(file.read_text())
    for annotation in content['annotations']:
        annotation['ignore'] = annotation['id'] % 2
    file.write_text(json.dumps(content))
    own = load_detection_set(detection_config(data, tmp_path), 'det.py')
    # Every third object is found.
    entries = [
        (key, path, boxes[::3], labels[::3], scores[::3])
        for key, path, boxes, labels, scores in entries_of(own)
    ]
    path = write_detections(tmp_path / 'a.pkl', entries)
    found = average_precision(own.truth, read_detections(path, own), len(own.classes))
    metric = CocoMetric(ann_file=str(file))
    metric.dataset_meta = dict(classes=own.classes)
    samples = [dict(result, ori_shape=(64, 128)) for result in pickle.loads(path.read_bytes())]
    metric.process({}, samples)
    expected = metric.compute_metrics(metric.results)['bbox_mAP']
    assert found.ap['all'] == pytest.approx(expected, abs=6e-4)  # it is rounded


def test_detections_by_image_and_sorted(test_set, tmp_path):
    path = write_detections(tmp_path / 'a.pkl', entries_of(test_set))
    found = read_detections(path, test_set)
    assert set(found) == set(test_set.images)
    for key, image in test_set.images.items():
        assert (np.diff(found[key].scores) <= 0).all()
        np.testing.assert_allclose(found[key].boxes, image.truth.boxes[::-1], rtol=1e-6)


def test_an_image_without_a_detection(test_set, tmp_path):
    entries = [(key, path, [], [], []) for key, path, *_ in entries_of(test_set)]
    found = read_detections(write_detections(tmp_path / 'a.pkl', entries), test_set)
    assert all(len(own.labels) == 0 for own in found.values())


def test_files_that_do_not_belong(test_set, tmp_path):
    path, entries = tmp_path / 'a.pkl', entries_of(test_set)

    def message(match):
        with pytest.raises(UserError, match=match):
            read_detections(path, test_set)

    message('there is no such file')
    path.write_bytes(b'nothing')
    message('cannot be read as a pickle')
    path.write_bytes(pickle.dumps(dict(a=1)))
    message('has a dict; expected a list')
    path.write_bytes(pickle.dumps([dict(pred_label=1)]))
    message('has no boxes: its entries have pred_label')
    keypoints = dict(bboxes=[], keypoints=[])  # of MMPose
    path.write_bytes(pickle.dumps([dict(img_id=1, pred_instances=keypoints)]))
    message('has no boxes: its entries have bboxes, keypoints; expected .* labels, scores')
    write_detections(path, entries[:2])
    message(
        r'has predictions for 2 images, .* has 4; 0 of the ids are not in it, and 2 of its images have no predictions'
    )
    write_detections(path, [(key + 1000, *rest) for key, *rest in entries])
    message('4 of the ids are not in it, and 4 of its images have no predictions')
    write_detections(path, [(key, 'other.png', *rest) for key, _, *rest in entries])
    message('is other.png in .*, but')
    write_detections(
        path,
        [(key, file, boxes, labels + 10, scores) for key, file, boxes, labels, scores in entries],
    )
    message('has the class number .* has 10 classes, 0 to 9')


def test_other_task(street_scenes, tmp_path):
    from results_of import segmentation_config

    with pytest.raises(
        UserError, match='seg.py is a segmentation config; expected one for detection'
    ):
        load_detection_set(segmentation_config(street_scenes, tmp_path), 'seg.py')


def test_annotations_of_images_of_ones_own(test_set, street_scenes, tmp_path):
    """A file with other ids, in another order, with classes that the models do not know, and without one that they know."""
    content = json.loads((street_scenes / 'annotations/instances_val.json').read_text())
    for category in content['categories']:
        category['id'] += 100
        if category['name'] == 'person':
            category['name'] = 'pedestrian'
    for annotation in content['annotations']:
        annotation['category_id'] += 100
    content['categories'].reverse()
    file = tmp_path / 'own.json'
    file.write_text(json.dumps(content))
    own = read_annotations('--gt', str(file), test_set.classes)
    person = test_set.classes.index('person')
    for key, image in test_set.images.items():
        kept = image.truth.labels != person
        np.testing.assert_array_equal(own.images[key].truth.labels, image.truth.labels[kept])
        np.testing.assert_array_equal(own.images[key].truth.boxes, image.truth.boxes[kept])
    with pytest.raises(
        UserError, match='has the categories .* but the models have the classes cat, dog'
    ):
        read_annotations('--gt', str(file), ('cat', 'dog'))
    with pytest.raises(UserError, match='there is no such file'):
        read_annotations('--gt', str(tmp_path / 'absent.json'), test_set.classes)


@pytest.mark.parametrize(
    ('kind', 'change', 'expected'),
    [
        ('categories', lambda entry: entry.pop('name'), "categories[0] lacks 'name'"),
        ('annotations', lambda entry: entry.pop('id'), "annotations[0] lacks 'id'"),
        (
            'annotations',
            lambda entry: entry.update(image_id='1'),
            'none can be used (left out: 49 of no image in the file)',
        ),
    ],
)
def test_damaged_annotations(kind, change, expected, street_scenes, tmp_path):
    content = json.loads((street_scenes / 'annotations/instances_val.json').read_text())
    for entry in content[kind]:
        change(entry)
    file = tmp_path / 'own.json'
    file.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        read_annotations('--gt', str(file), ('car',))
    assert str(error.value).startswith(f'--gt {file}')
    assert expected in str(error.value)


def test_pictures(test_set, tmp_path):
    pictures = pictures_of_set(test_set)
    assert [picture.name.name for picture in pictures] == [
        image.path.stem.replace('_leftImg8bit', '') for image in test_set.images.values()
    ]
    source = pictures[0].path
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / source.name)
    images = find_images([str(tmp_path)])
    assert len({picture.name for picture in pictures_of_files(images, None)}) == 2
    found = pictures_of_files(images[:1], test_set)
    assert found[0].key == pictures[0].key
    with pytest.raises(
        UserError,
        match=r'is 64x128 \(upright, as its EXIF data say\), but its annotations are for 128x64',
    ):
        found[0].check_size((64, 128))
    shutil.copy(source, tmp_path / 'a' / 'stranger.png')
    with pytest.raises(UserError, match='has no images with the name stranger.png'):
        pictures_of_files(find_images([str(tmp_path / 'a')]), test_set)
