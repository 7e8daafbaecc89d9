"""No two labels overlap, for any arrangement of boxes."""

import numpy as np
import pytest

from mm_frelu.visualization.label_places import place_labels


def rectangles(places, sizes):
    return [
        (place.x, place.y, place.x + size[0], place.y + size[1])
        for place, size in zip(places, sizes)
        if place is not None
    ]


def assert_apart(found, area):
    for i, a in enumerate(found):
        assert a[0] >= -1e-6
        assert a[1] >= -1e-6
        assert a[2] <= area[0] + 1e-6
        assert a[3] <= area[1] + 1e-6
        for b in found[i + 1 :]:
            across = min(a[2], b[2]) - max(a[0], b[0])
            down = min(a[3], b[3]) - max(a[1], b[1])
            assert across <= 1e-6 or down <= 1e-6, (a, b)


@pytest.mark.parametrize('seed', range(8))
def test_labels_of_random_boxes_are_apart(seed):
    rng = np.random.default_rng(seed)
    area = (400, 300)
    corners = rng.uniform(-10, 380, (60, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(2, 150, (60, 2))], axis=1)
    sizes = [(rng.uniform(20, 80), 14) for _ in boxes]
    places = place_labels(boxes, sizes, area)
    assert_apart(rectangles(places, sizes), area)
    assert sum(place is not None for place in places) > 40


def test_all_boxes_at_one_place():
    boxes, sizes, area = [[50, 50, 90, 90]] * 30, [(40, 10)] * 30, (200, 100)
    places = place_labels(boxes, sizes, area)
    assert_apart(rectangles(places, sizes), area)
    assert sum(place.far for place in places if place) > 10
    assert places[0][:2] == (50, 40)  # the first one directly above its box


def test_where_a_single_label_goes():
    (place,) = place_labels([[50, 50, 90, 90]], [(30, 10)], (200, 100))
    assert place == (50, 40, False)
    # No space above, so the label is below.
    (place,) = place_labels([[50, 2, 90, 90]], [(30, 10)], (200, 110))
    assert place == (50, 90, False)
    # No space above or below, so the label is inside the box.
    (place,) = place_labels([[0, 0, 200, 100]], [(30, 10)], (200, 100))
    assert place == (0, 0, False)


def test_a_label_avoids_other_boxes():
    # Above the lower box is the upper one; below it nothing.
    places = place_labels([[50, 60, 90, 80], [45, 45, 95, 59]], [(30, 10), None], (200, 100))
    assert places[0] == (50, 80, False)
    assert places[1] is None


def test_no_room():
    assert place_labels([[0, 0, 10, 10]], [(50, 10)], (40, 40)) == [None]
    places = place_labels([[0, 0, 40, 10]] * 3, [(40, 10)] * 3, (40, 20))
    assert [place is None for place in places] == [False, False, True]
