"""BoundaryIoU against masks eroded one class at a time, and inside mmseg's evaluation loop."""

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS, DefaultScope
from scipy import ndimage

from mm_frelu.evaluation import BoundaryIoU
from mm_frelu.evaluation.boundary_iou import band

CLASSES = ('road', 'car', 'pole')


def sample(prediction, label):
    return dict(
        pred_sem_seg=dict(data=torch.as_tensor(prediction)[None]),
        gt_sem_seg=dict(data=torch.as_tensor(label)[None]),
        img_path='a.png',
    )


def blobs(seed, shape=(60, 80), classes=3):
    noise = ndimage.gaussian_filter(
        np.random.default_rng(seed).normal(size=(classes, *shape)), (0, 4, 4)
    )
    return noise.argmax(axis=0)


def mask_band(mask, distance):
    """As the paper's authors: the mask without its erosion, with the outside of the image as background."""
    eroded = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=distance, border_value=0)
    return mask & ~eroded


def score(metric, *pairs):
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process(None, [sample(*pair) for pair in pairs])
    return metric.evaluate(len(pairs))


@pytest.mark.parametrize('distance', [1, 3, 7])
def test_band_of_all_classes_is_each_mask_without_its_erosion(distance):
    labels = blobs(0)
    expected = np.zeros(labels.shape, bool)
    for number in range(3):
        expected |= mask_band(labels == number, distance)
    np.testing.assert_array_equal(band(labels, distance), expected)


def test_equals_masks_eroded_one_by_one():
    pairs = [(blobs(seed), blobs(seed + 10)) for seed in range(3)]
    for _, label in pairs:
        label[:9, 5:20] = 255
    metric = BoundaryIoU(dilation_ratio=0.03)
    intersections, unions = np.zeros(3), np.zeros(3)
    for prediction, label in pairs:
        prediction = np.where(label == 255, 255, prediction)
        for number in range(3):
            a, b = (mask_band(x == number, 3) for x in (prediction, label))  # 0.03 * 100 pixels
            intersections[number] += (a & b).sum()
            unions[number] += (a | b).sum()
    assert score(metric, *pairs) == {'mBIoU': round(100 * (intersections / unions).mean(), 2)}


def test_thin_errors_weigh_more_than_in_iou():
    label = np.zeros((100, 100), int)
    label[20:80, 20:80] = 1
    shifted = np.roll(label, 2, axis=1)
    iou = 60 * 58 / (60 * 62)
    found = score(BoundaryIoU(dilation_ratio=0.02), (shifted, label))['mBIoU']
    assert found < 100 * iou - 20


def test_a_class_that_does_not_occur_is_left_out_and_perfect_is_100():
    label = np.zeros((20, 20), int)
    assert score(BoundaryIoU(), (label, label)) == {'mBIoU': 100.0}
    label[:, :10] = 255
    wrong = label.copy()
    wrong[:, :10] = 1  # where nothing is labelled a prediction counts for nothing
    assert score(BoundaryIoU(), (wrong, label)) == {'mBIoU': 100.0}


def test_by_config_beside_mmsegs_metric(street_scenes):
    import mmseg.evaluation  # noqa: F401
    from mmengine.evaluator import Evaluator

    label = blobs(1)
    with DefaultScope.overwrite_default_scope('mmseg'):
        evaluator = Evaluator(
            [
                dict(type='IoUMetric', iou_metrics=['mIoU']),
                dict(type='mm_frelu.BoundaryIoU', prefix='boundary'),
                dict(type='mm_frelu.ThicknessIoU'),
            ]
        )
    evaluator.dataset_meta = dict(classes=CLASSES)
    for metric in evaluator.metrics:
        metric.process(None, [sample(label, label)])
    scores = evaluator.evaluate(1)
    assert scores['mIoU'] == scores['boundary/mBIoU'] == scores['mIoU_0-4px'] == 100


def test_kept_counts_do_not_grow_with_the_image():
    metric = BoundaryIoU()
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process(None, [sample(np.zeros((300, 500), int), np.ones((300, 500), int))])
    (kept,) = metric.results
    assert sum(array.nbytes for array in kept) < 200


def test_bad_settings_and_sizes():
    assert METRICS.get('mm_frelu.BoundaryIoU') is BoundaryIoU
    with pytest.raises(ValueError, match='between 0 and 1, got 2'):
        BoundaryIoU(dilation_ratio=2)
    with pytest.raises(
        ValueError, match=r'prediction for a.png has \(4, 4\) pixels, but its label'
    ):
        score(BoundaryIoU(), (np.zeros((4, 4), int), np.zeros((4, 5), int)))
    label = np.zeros((4, 4), int)
    label[0, :2] = 9  # mmseg reads labels like this if a label file is not checked
    with pytest.raises(ValueError, match='label of a.png has the value 9 in 2 pixels'):
        score(BoundaryIoU(), (np.zeros((4, 4), int), label))
    assert score(BoundaryIoU(ignore_index=9), (np.zeros((4, 4), int), label)) == {'mBIoU': 100}
