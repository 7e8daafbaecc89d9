"""Painting order of things on the street."""

import numpy as np

from mm_frelu.datasets.street_scenes.geometry import Thing
from mm_frelu.datasets.street_scenes.ordering import painting_order


def standing(x, z):
    thing = Thing('person', depth=z)
    thing.add(np.array([(x, 0, z), (x + 0.1, 0, z), (x, 1.7, z)]), np.zeros(3))
    return thing


def driving(x, near, far):
    footprint = np.array([(x - 1, 0, near), (x + 1, 0, near), (x + 1, 0, far), (x - 1, 0, far)])
    return Thing('train', depth=near, footprint=footprint.astype(float))


def test_far_things_come_first():
    near, far = standing(2, 5), standing(2, 30)
    assert painting_order([near, far]) == [far, near]


def test_a_tram_hides_the_sidewalk_but_not_the_lane_between():
    tram = driving(-4, 8, 32)
    on_sidewalk, in_our_lane, beyond = standing(-8, 20), standing(0, 20), standing(-4, 40)
    order = painting_order([in_our_lane, tram, on_sidewalk, beyond])
    assert order.index(beyond) < order.index(tram)
    assert order.index(on_sidewalk) < order.index(tram) < order.index(in_our_lane)


def test_the_other_side_of_the_street_keeps_its_order():
    tram, parked = driving(-4, 8, 32), driving(6, 14, 18)
    walker = standing(8, 16)
    order = painting_order([tram, parked, walker])
    assert order.index(walker) < order.index(parked) < order.index(tram)
