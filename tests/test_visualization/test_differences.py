"""Errors, disagreement and scores against arrays made by hand and against MMSegmentation's own metric."""

import math

import numpy as np
import pytest
import torch

import mm_frelu  # noqa: F401
from mm_frelu.visualization import count_answers, error_map, image_scores
from mm_frelu.visualization.differences import CORRECT, IGNORED, WRONG


def test_error_map_tells_correct_wrong_and_ignored_apart():
    truth = np.array([[0, 1, 255], [2, 2, 255]])
    prediction = np.array([[0, 2, 0], [2, 0, 1]])
    expected = [[CORRECT, WRONG, IGNORED], [CORRECT, WRONG, IGNORED]]
    np.testing.assert_array_equal(error_map(prediction, truth), expected)


def test_count_answers_counts_the_different_ones():
    models = [np.array([[0, 1, 2, 5]]), np.array([[0, 1, 1, 4]]), np.array([[0, 2, 0, 5]])]
    np.testing.assert_array_equal(count_answers(models), [[1, 2, 3, 2]])


def test_scores_equal_those_of_mmseg():
    from mmseg.evaluation import IoUMetric

    generator = np.random.default_rng(0)
    truth = generator.integers(0, 5, (40, 50))
    truth[:4] = 255
    prediction = np.where(
        generator.random((40, 50)) < 0.7, truth, generator.integers(0, 6, (40, 50))
    )
    prediction[truth == 255] = 3
    # Class 6 of 7 is in neither, class 5 only in the prediction.
    areas = IoUMetric.intersect_and_union(
        torch.from_numpy(prediction), torch.from_numpy(truth), 7, 255
    )
    metrics = IoUMetric.total_area_to_metrics(*areas, metrics=['mIoU'])
    scores = image_scores(prediction, truth, 7)
    assert scores.mean_iou == pytest.approx(np.nanmean(metrics['IoU']), abs=1e-6)
    assert scores.accuracy == pytest.approx(float(metrics['aAcc']), abs=1e-6)


def test_scores_of_an_image_without_labels_are_nan():
    scores = image_scores(np.zeros((3, 3), int), np.full((3, 3), 255), 2)
    assert math.isnan(scores.mean_iou)
    assert math.isnan(scores.accuracy)
