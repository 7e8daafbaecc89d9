"""Colour differences compared with published pairs, and palettes in which no two classes look alike."""

import itertools

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import trainId2label

from mm_frelu.visualization.contrast import (
    MERGE,
    color_difference,
    lab,
    merging_pairs,
    moved_apart,
)

CLASSES = [trainId2label[number].name for number in range(19)]
CITYSCAPES = np.array([trainId2label[number].color for number in range(19)], dtype=np.uint8)


@pytest.mark.parametrize(
    ('first', 'second', 'expected'),
    [  # from the test data of Sharma, Wu and Dalal (2005), table 1
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (56, -27, -3), 31.9030),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
        ((50, 0, 0), (50, -1, 2), 2.3669),
    ],
)
def test_difference_equals_the_published_one(first, second, expected):
    found = color_difference(np.array(first, float), np.array(second, float))
    assert found == pytest.approx(expected, abs=5e-5)


def test_lab_of_known_colours():
    found = lab(np.array([(255, 255, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0)]))
    expected = [(100, 0, 0), (53.24, 80.09, 67.20), (32.30, 79.19, -107.86), (0, 0, 0)]
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_classes_of_cityscapes_that_merge_get_other_colours_and_the_rest_keep_theirs():
    merging = {frozenset(CLASSES[i] for i in pair) for pair in merging_pairs(CITYSCAPES)}
    assert {
        frozenset(('car', 'truck')),
        frozenset(('car', 'motorcycle')),
        frozenset(('bus', 'train')),
    } <= merging
    moved = moved_apart(CITYSCAPES)
    places = lab(moved)
    for a, b in itertools.combinations(range(19), 2):
        assert color_difference(places[a], places[b]) >= MERGE, (CLASSES[a], CLASSES[b])
    kept = (moved == CITYSCAPES).all(axis=1)
    # Of each pair that merges the first keeps its colour, unless that merges with one before it.
    assert kept[CLASSES.index('car')]
    assert kept[CLASSES.index('person')]
    for number in np.flatnonzero(~kept):
        earlier = [pair for pair in merging_pairs(CITYSCAPES) if pair[1] == number]
        assert earlier, CLASSES[number]


def test_equal_colours_are_moved_apart():
    moved = moved_apart(np.full((6, 3), 128, np.uint8))
    assert tuple(moved[0]) == (128, 128, 128)
    assert not merging_pairs(moved)
