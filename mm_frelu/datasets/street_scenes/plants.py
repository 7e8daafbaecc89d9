"""Trees, bushes, hedges and the line of trees at the end of the street."""

from typing import Tuple

import numpy as np

from .geometry import Plane, Thing, disc, limb
from .people import pick
from .solids import View

_LEAVES = ((84, 116, 52), (66, 98, 50), (112, 128, 58), (58, 84, 52), (138, 128, 56))


def tree(rng: np.random.Generator, view: View, position: np.ndarray, size: float = 1.0) -> Thing:
    """A trunk with branches and a noisy crown lit from the sun's side."""
    plane = Plane(position, 0.0, rng.normal(0, 0.03))
    trunk, radius = rng.uniform(1.8, 3.0) * size, rng.uniform(1.3, 2.4) * size
    foot = position + np.array([(-0.3, 0, 0), (0.3, 0, 0)])
    top = position + np.array([(-radius, 0, 0), (radius, 0, 0), (0, 0, radius), (0, 0, -radius)])
    shadow = np.concatenate([foot, view.light.cast(top, trunk + radius)])
    thing = Thing('vegetation', float(position[2]), shadow=shadow)
    bark = view.light.lit(pick(rng, ((96, 78, 62), (122, 110, 96), (74, 62, 52))))
    thing.add(plane(limb((0, 0), (0, trunk), 0.3 * size, 0.2 * size)), bark)
    middle = trunk + radius * 0.75
    for tip in rng.uniform(-0.8, 0.8, 3):
        thing.add(
            plane(limb((0, trunk * 0.85), (tip * radius, middle), 0.14 * size, 0.05)), bark * 0.9
        )
    _crown(rng, view, thing, plane, (0.0, middle), (radius, radius * rng.uniform(0.85, 1.25)), 76)
    return thing


def bush(
    rng: np.random.Generator, view: View, position: np.ndarray, width: float, height: float
) -> Thing:
    """A bush or a piece of hedge that stands on the ground."""
    thing = Thing('vegetation', float(position[2]), shadow=None)
    plane = Plane(position)
    _crown(rng, view, thing, plane, (0.0, height * 0.5), (width / 2, height / 2), 40)
    return thing


def hedge(
    rng: np.random.Generator, view: View, sign: int, front: float, near: float, far: float
) -> Thing:
    """A row of bushes along the street."""
    thing = Thing('vegetation', near)
    height = rng.uniform(1.3, 3.2)
    for z in np.arange(far, max(near, 4.0), -1.5):
        position = np.array([sign * (front + 0.8), 0.0, z])
        _crown(rng, view, thing, Plane(position), (0.0, height * 0.5), (1.1, height * 0.55), 18)
    return thing


def tree_line(rng: np.random.Generator, view: View, distance: float) -> Thing:
    """A wood or park on the horizon."""
    thing = Thing('vegetation', distance)
    x = np.linspace(-130, 130, 90)
    top = rng.uniform(4, 9) + 2.5 * np.interp(
        x, np.linspace(-130, 130, 16), rng.standard_normal(16)
    )
    top = np.maximum(top + rng.normal(0, 0.7, len(x)), 1.5)
    ridge = np.stack([x, top], -1)
    outline = np.concatenate([ridge, [(130, 0), (-130, 0)]])
    plane = Plane(np.array([0.0, 0.0, distance]))
    color = view.light.lit(pick(rng, _LEAVES)) * 0.8
    thing.add(plane(outline), color)
    return thing


def _crown(
    rng: np.random.Generator,
    view: View,
    thing: Thing,
    plane: Plane,
    center: Tuple[float, float],
    radii: Tuple[float, float],
    count: int,
) -> None:
    """Clumps of leaves inside an ellipse: dark ones first, then lighter ones towards the sun."""
    angle, distance = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    offset = np.stack([np.cos(angle) * distance, np.sin(angle) * distance], -1)
    towards_sun = offset @ np.array([np.sign(view.light.sun[0]) * 0.5, 0.85])
    order = np.argsort(towards_sun)
    order = np.concatenate([order[::2], order[1::2]])  # both halves from dark to light
    offset, towards_sun = offset[order], towards_sun[order]
    # A second half of small tufts breaks up the edge and the surface.
    size = min(radii) * np.concatenate(
        [
            rng.uniform(0.2, 0.4, (count - count // 2, 1, 1)),
            rng.uniform(0.07, 0.14, (count // 2, 1, 1)),
        ]
    )
    offset[count - count // 2 :] *= 1.22
    rough = disc((0, 0), 1.0, corners=10) + rng.normal(0, 0.14, (count, 10, 2))
    clumps = np.array(center) + (offset * radii * 0.85)[:, None] + rough * size
    shade = 0.8 + 0.26 * towards_sun + rng.normal(0, 0.08, count)
    color = view.light.lit(pick(rng, _LEAVES, 0.15))
    thing.add(plane(clumps), color * shade[:, None])
