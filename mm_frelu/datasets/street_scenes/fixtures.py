"""Poles with lamps, traffic lights and traffic signs."""

from typing import Any, List

import numpy as np

from .geometry import Plane, Thing, box_shape, disc, limb
from .people import pick
from .solids import View

_STEEL = ((120, 124, 126), (84, 88, 90), (150, 152, 152), (66, 84, 76))
_LENSES = ((226, 40, 36), (244, 178, 40), (52, 200, 110))


def lamp_post(rng: np.random.Generator, view: View, position: np.ndarray, sign: int) -> List[Thing]:
    """A slender mast with an arm over the road."""
    plane = Plane(position, 0.0, rng.normal(0, 0.012))
    height, arm = rng.uniform(5.0, 8.0), -sign * rng.uniform(0.8, 1.8)
    thing = _pole(rng, view, plane, height, rng.uniform(0.13, 0.18))
    color: Any = thing.patches[0].color  # a pole has one
    thing.add(plane(limb((0, height - 0.05), (arm, height + 0.25), 0.08)), color)
    thing.add(
        plane(limb((arm - 0.25, height + 0.26), (arm + 0.25, height + 0.26), 0.16)), color * 0.8
    )
    return [thing]


def traffic_light(
    rng: np.random.Generator, view: View, position: np.ndarray, sign: int
) -> List[Thing]:
    """A mast with a signal head, sometimes with a second one on an arm over the road."""
    plane = Plane(position, 0.0, rng.normal(0, 0.012))
    arm = rng.random() < 0.35
    height = rng.uniform(4.8, 5.6) if arm else rng.uniform(3.0, 3.5)
    pole = _pole(rng, view, plane, height, rng.uniform(0.13, 0.17))
    things = [pole]
    lit = int(rng.integers(3))
    heads = [(0.0, rng.uniform(2.3, 2.7) if arm else height - 0.45)]
    if arm:
        reach = -sign * rng.uniform(1.6, 3.0)
        pole.add(plane(limb((0, height - 0.1), (reach, height - 0.1), 0.1)), pole.patches[0].color)
        heads.append((reach, height - 0.15))
    for x, y in heads:
        head = Thing('traffic light', pole.depth - 1e-3)
        body = view.light.lit((36, 38, 40) if rng.random() < 0.75 else (206, 170, 40))
        head.add(plane(box_shape(x - 0.24, y - 0.62, x + 0.24, y + 0.62)), body)
        for i, color in enumerate(_LENSES):
            lens = disc((x, y + 0.39 - 0.39 * i), 0.165, corners=24)
            # A lit lens does not depend on the daylight.
            glow = np.array(color) * 1.1 if i == lit else view.light.lit(np.array(color) * 0.26)
            head.add(plane(lens), glow, solid=False)
        things.append(head)
    return things


def sign_post(rng: np.random.Generator, view: View, position: np.ndarray) -> List[Thing]:
    """A thin post with one or two traffic signs."""
    plane = Plane(position, 0.0, rng.normal(0, 0.015))
    height = rng.uniform(2.5, 3.1)
    pole = _pole(rng, view, plane, height, rng.uniform(0.08, 0.11))
    things = [pole]
    y = height - 0.3
    for _ in range(1 + int(rng.random() < 0.3)):
        things.append(_sign(rng, view, plane, y, pole.depth))
        y -= 0.85
    return things


def bollards(rng: np.random.Generator, view: View, position: np.ndarray) -> List[Thing]:
    """A short row of bollards."""
    things = []
    for i in range(int(rng.integers(2, 5))):
        plane = Plane(position + np.array([0.0, 0.0, 1.6 * i]), 0.0, rng.normal(0, 0.02))
        thing = _pole(rng, view, plane, 0.95, 0.13)
        thing.add(
            plane(box_shape(-0.065, 0.7, 0.065, 0.82)), view.light.lit((230, 230, 226)), solid=False
        )
        things.append(thing)
    return things


def _pole(rng: np.random.Generator, view: View, plane: Plane, height: float, width: float) -> Thing:
    color = view.light.lit(pick(rng, _STEEL))
    foot = plane.position + np.array([(-width, 0, 0), (width, 0, 0)])
    shadow = np.concatenate([foot, view.light.cast(foot, height)])
    thing = Thing('pole', float(plane.position[2]), shadow=shadow)
    thing.add(plane(limb((0, 0), (0, height), width * 1.1, width * 0.85)), color)
    bright = limb((-width * 0.2, 0), (-width * 0.2, height), width * 0.3, width * 0.25)
    thing.add(plane(bright), color * 1.25, solid=False)
    return thing


def _sign(rng: np.random.Generator, view: View, plane: Plane, y: float, depth: float) -> Thing:
    thing = Thing('traffic sign', depth - 1e-3)
    lit, size = view.light.lit, rng.uniform(0.36, 0.46)
    red, blue, white, black = (
        lit((204, 28, 34)),
        lit((28, 82, 170)),
        lit((244, 244, 240)),
        lit((30, 30, 32)),
    )
    kind = rng.choice(['ban', 'order', 'warning', 'stop', 'square', 'priority', 'board'])
    center = (0.0, y)
    if kind == 'ban':
        thing.add(plane(disc(center, size, corners=24)), red)
        thing.add(plane(disc(center, size * 0.68, corners=24)), white, solid=False)
        thing.add(plane(limb((-0.14, y), (0.14, y), 0.2)), black, solid=False)
    elif kind == 'order':
        thing.add(plane(disc(center, size, corners=24)), blue)
        thing.add(plane(limb((0, y - 0.2), (0, y + 0.2), 0.11)), white, solid=False)
        thing.add(
            plane(np.array([(-0.17, y + 0.06), (0.17, y + 0.06), (0, y + 0.28)])),
            white,
            solid=False,
        )
    elif kind == 'warning':
        triangle = np.array([(-0.5, y - 0.4), (0.5, y - 0.4), (0.0, y + 0.46)]) * (size / 0.4, 1)
        inner = triangle + (triangle.mean(0) - triangle) * 0.42
        thing.add(plane(triangle), red)
        thing.add(plane(inner), white, solid=False)
        thing.add(plane(limb((0, y - 0.2), (0, y + 0.06), 0.09)), black, solid=False)
    elif kind == 'stop':
        thing.add(plane(disc(center, size, corners=8)), red)
        thing.add(plane(limb((-0.24, y), (0.24, y), 0.18)), white, solid=False)
    elif kind == 'square':
        thing.add(plane(box_shape(-size, y - size, size, y + size)), blue)
        thing.add(
            plane(box_shape(-size * 0.5, y - size * 0.6, size * 0.4, y + size * 0.6)),
            white,
            solid=False,
        )
    elif kind == 'priority':
        thing.add(plane(disc(center, size * 1.1, corners=4)), white)
        thing.add(plane(disc(center, size * 0.8, corners=4)), lit((246, 196, 30)), solid=False)
    else:
        thing.add(
            plane(box_shape(-0.8, y - 0.3, 0.8, y + 0.3)),
            lit((246, 206, 40)) if rng.random() < 0.5 else blue,
        )
        thing.add(plane(limb((-0.6, y + 0.1), (0.5, y + 0.1), 0.1)), black, solid=False)
        thing.add(plane(limb((-0.6, y - 0.12), (0.2, y - 0.12), 0.1)), black, solid=False)
    return thing
