"""Errors, disagreement and scores against arrays made by hand and against MMSegmentation's own metric."""

import math

import numpy as np
import pytest
import torch

import mm_frelu  # noqa: F401
from mm_frelu.visualization import count_answers, error_map, image_scores
from mm_frelu.visualization.differences import (
    CORRECT,
    IGNORED,
    SLIP,
    WRONG,
    Confusion,
    largest_confusions,
    slip_radius,
)


def test_error_map_tells_correct_wrong_slips_and_ignored_apart():
    truth = np.array([[0, 1, 255], [2, 2, 255]])
    prediction = np.array([[0, 2, 0], [2, 0, 0]])
    expected = [[CORRECT, WRONG, IGNORED], [CORRECT, SLIP, IGNORED]]  # 1 is nowhere predicted
    np.testing.assert_array_equal(error_map(prediction, truth), expected)


def test_a_boundary_that_is_slightly_off_is_a_slip_and_a_missing_pole_is_wrong():
    # 200 x 1000: the reach is 0.2 % of the diagonal, 2 pixels.
    assert slip_radius((1000, 200)) == 2
    truth = np.zeros((200, 1000), dtype=np.uint8)
    truth[:, 300:] = 1
    truth[:, 700:702] = 2
    prediction = np.zeros_like(truth)
    prediction[:, 302:] = 1  # the edge slipped by 2, and the pole is not there
    states = error_map(prediction, truth)
    assert (states[:, 300:302] == SLIP).all()
    assert (states[:, 700:702] == WRONG).all()
    assert np.isin(states, (SLIP, WRONG)).sum() == 200 * 4
    prediction[:, 302:304] = 0  # ... by 4: what lies further off than 2 is wrong
    states = error_map(prediction, truth)
    assert (states[:, 300:302] != CORRECT).all()
    assert (states[:, 300] == WRONG).all()
    assert (states[:, 303] == WRONG).all()


def test_slips_are_those_of_a_search_around_each_pixel():
    generator = np.random.default_rng(3)
    truth = np.kron(generator.integers(0, 3, (5, 6)), np.ones((6, 7), int))
    prediction = np.roll(truth, 1, axis=1)
    prediction[generator.random(truth.shape) < 0.05] = 2
    truth[0] = 255
    states = error_map(prediction, truth)
    radius = slip_radius(truth.shape[::-1])
    for y, x in np.argwhere(np.isin(states, (WRONG, SLIP))):
        window = (
            slice(max(y - radius, 0), y + radius + 1),
            slice(max(x - radius, 0), x + radius + 1),
        )
        both = (truth[window] == prediction[y, x]).any() and (
            prediction[window] == truth[y, x]
        ).any()
        assert states[y, x] == (SLIP if both else WRONG)


def test_largest_confusions_leave_slips_out():
    truth = np.zeros((100, 100), dtype=np.uint8)
    truth[:, 50:] = 1
    truth[:10] = 255
    prediction = np.where(truth == 255, 0, truth)
    prediction[:, 50] = 0
    prediction[20:30, 20:30] = 3
    prediction[20:24, 80:85] = 2
    states = error_map(prediction, truth)
    assert largest_confusions(prediction, truth, states) == [
        Confusion(0, 3, pytest.approx(100 / 9000)),
        Confusion(1, 2, pytest.approx(20 / 9000)),
    ]


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
    np.testing.assert_allclose(scores.class_ious, metrics['IoU'], atol=1e-6)
    assert scores.num_counted == 6


def test_scores_of_an_image_without_labels_are_nan():
    scores = image_scores(np.zeros((3, 3), int), np.full((3, 3), 255), 2)
    assert math.isnan(scores.mean_iou)
    assert math.isnan(scores.accuracy)
