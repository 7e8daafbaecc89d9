"""Painting order of things, so that things in front are painted last."""

from typing import List, Sequence

import numpy as np

from .geometry import Thing


def painting_order(things: Sequence[Thing]) -> List[Thing]:
    """Sorts things from back to front.

    Distance decides, except next to a vehicle. A thing between the vehicle and the line of sight
    straight ahead is in front of it, even if the near end of a long tram is closer to the camera.
    """
    order = sorted(things, key=lambda thing: -thing.depth)
    across = {id(thing): _across(thing) for thing in things}
    for vehicle in tuple(order):
        if vehicle.footprint is None:
            continue
        x, far = across[id(vehicle)], float(vehicle.footprint[:, 2].max())
        sign, inner = np.sign(x), abs(x) - 1.2
        place = next(i for i, thing in enumerate(order) if thing is vehicle)
        hidden: List[Thing] = []
        in_front: List[Thing] = []
        for thing in order[:place]:
            beside = thing.depth < far and -1.0 < sign * across[id(thing)] < inner
            (in_front if beside else hidden).append(thing)
        order = [*hidden, vehicle, *in_front, *order[place + 1 :]]
    return order


def _across(thing: Thing) -> float:
    """Signed distance from the line of sight straight ahead, on a street without a bend."""
    if thing.footprint is not None:
        return float(thing.footprint[:, 0].mean())
    return float(thing.patches[0].points[..., 0].mean()) if thing.patches else 0.0
