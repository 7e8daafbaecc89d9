"""Draw one scene: a street with everything on it, as a picture with annotations."""

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from . import layout
from .annotation import owner_map
from .camera import Camera
from .canvas import Canvas, Region
from .frontage import building
from .geometry import Thing
from .ground import Ground
from .light import Light
from .ordering import painting_order
from .plants import tree_line
from .sensor import expose
from .solids import View
from .street import Street

SPLITS = ('train', 'val')


@dataclass(frozen=True)
class Scene:
    """A finished scene.

    Attributes:
        image: uint8 (height, width, 3), red first.
        regions: Labelled polygons in drawing order.
        owners: For every pixel the index of its region plus one.
    """

    image: np.ndarray
    regions: List[Region]
    owners: np.ndarray


def draw_scene(size: Tuple[int, int], seed: int, split: str, index: int) -> Scene:
    """Draws scene number ``index`` of a split.

    The scene depends only on the arguments, not on other scenes or their number.

    Args:
        size: Width and height in pixels.
        seed: Seed of the whole set.
        split: 'train' or 'val'.
        index: Number of the scene in its split, from 0.
    """
    key = [seed, SPLITS.index(split)]
    turns = np.random.default_rng(key)
    guest = turns.permutation(layout.GUESTS)[index % len(layout.GUESTS)]
    barrier = turns.permutation(layout.BARRIERS)[index % len(layout.BARRIERS)]
    rng = np.random.default_rng([*key, index])

    view = View(Camera.sample(rng, size), Light.sample(rng))
    street = Street.sample(rng)
    canvas = Canvas(view.camera, view.light)
    Ground(canvas, street, rng).paint(rails=guest == 'train')

    layers = _furnish(rng, view, street, str(guest), str(barrier))
    things = [thing for layer in layers for thing in layer]
    shadows = [thing.shadow for thing in things if thing.shadow is not None]
    canvas.darken(shadows, view.light.shadow, softness=0.004)
    footprints = [thing.footprint for thing in things if thing.footprint is not None]
    canvas.darken(footprints, 0.45, softness=0.012)
    for layer in layers:
        for thing in painting_order(layer):
            canvas.paint(thing)
    _hide_borders(rng, canvas)

    owners = owner_map(canvas.regions, size)
    image = expose(rng, canvas.picture(), owners, canvas.regions)
    return Scene(image, canvas.regions, owners)


def _backdrop(rng: np.random.Generator, view: View) -> List[Thing]:
    """Trees, houses or both at the far end of the street."""
    things = [tree_line(rng, view, 140.0)]
    for sign in (-1, 1):
        if rng.random() < 0.6:
            near = rng.uniform(100, 120)
            things.append(building(rng, view, sign, rng.uniform(-8, 8), near, near + 14))
    return things


def _furnish(
    rng: np.random.Generator, view: View, street: Street, guest: str, barrier: str
) -> List[List[Thing]]:
    """All things, in layers: nothing in a layer hides anything in a later layer."""
    frontage: List[Thing] = []
    things = layout.place_traffic(rng, view, street, guest)
    barrier_side = int(rng.integers(2))
    for i, side in enumerate(street.sides):
        frontage += layout.place_frontage(
            rng, view, street, side, barrier if i == barrier_side else None
        )
        things += layout.place_green(rng, view, side)
        things += layout.place_furniture(rng, view, side)
        things += layout.place_people(rng, view, side)
    return [_backdrop(rng, view), frontage, things]


def _hide_borders(rng: np.random.Generator, canvas: Canvas) -> None:
    """Adds the ego vehicle's bonnet and a border outside the region of interest, which CityScapes ignores."""
    width, height = canvas.camera.size
    if rng.random() < 0.4:
        x = np.linspace(-0.05, 1.05, 24)
        top = 1 - rng.uniform(0.03, 0.07) * np.clip(1 - np.abs(2 * x - 1) ** 4, 0, 1)
        bonnet = np.concatenate([np.stack([x, top], -1), [(1.05, 1.1), (-0.05, 1.1)]]) * (
            width,
            height,
        )
        color = canvas.light.lit(np.array((70, 74, 80)) * rng.uniform(0.5, 2.0))
        canvas.fill(bonnet, color)
        canvas.fill(bonnet + (0, 0.012 * height), color * 0.8)
        canvas.mark('ego vehicle', [bonnet])
    if rng.random() < 0.4:
        rim = max(1, round(rng.uniform(0.004, 0.012) * width))
        for x0, y0, x1, y1 in ((0, 0, rim, height), (width - rim, 0, width, height)):
            canvas.mark('out of roi', [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)])
