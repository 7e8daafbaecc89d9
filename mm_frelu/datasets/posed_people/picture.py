"""Draw one image: a street, people, obstacles in front of the people, and the visible keypoints."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np

from ..street_scenes import layout
from ..street_scenes.annotation import owner_map
from ..street_scenes.camera import Camera
from ..street_scenes.canvas import Canvas
from ..street_scenes.cars import car
from ..street_scenes.geometry import Thing
from ..street_scenes.ground import Ground
from ..street_scenes.light import Light
from ..street_scenes.ordering import painting_order
from ..street_scenes.plants import bush, tree_line
from ..street_scenes.scene import SPLITS
from ..street_scenes.sensor import expose
from ..street_scenes.solids import View
from ..street_scenes.street import Street
from .figure import Part, dress, parts_that_show
from .skeleton import KEYPOINTS, Pose, joints


@dataclass(frozen=True)
class Person:
    """A person in an image.

    Attributes:
        keypoints: (17, 3): x and y in pixels, and COCO's visibility: 2 for visible, 1 for hidden, 0 for outside of the image
            (x and y are then 0 too).
        mask: bool (height, width), the pixels where the person is visible.
    """

    keypoints: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Picture:
    """A finished image with its people.

    Attributes:
        image: uint8 (height, width, 3), red first.
        people: The people, from far to near.
    """

    image: np.ndarray
    people: List[Person]


def draw_picture(size: Tuple[int, int], seed: int, split: str, index: int) -> Picture:
    """Draw image number ``index`` of a split. The image depends only on the arguments.

    Args:
        size: Width and height in pixels.
        seed: Seed of the dataset.
        split: 'train' or 'val'.
        index: Number of the image in its split, from 0.
    """
    # Because of the last number, the random numbers differ from those of street scenes with the same seed.
    rng = np.random.default_rng([seed, SPLITS.index(split), index, 17])
    view = View(_camera(rng, size), Light.sample(rng))
    canvas = Canvas(view.camera, view.light)
    _paint_street(rng, view, canvas)
    return _paint_people(rng, view, canvas)


def _camera(rng: np.random.Generator, size: Tuple[int, int]) -> Camera:
    """Return a handheld camera. A person at a distance of three metres is about two thirds as high as the image."""
    width, height = size
    return Camera(
        size=size,
        focal=min(width * 0.9, height * 1.15),
        vanishing_point=(width * rng.uniform(0.35, 0.65), height * rng.uniform(0.36, 0.46)),
        eye_height=rng.uniform(1.2, 1.6),
        bend=0.0,
        roll=np.deg2rad(rng.normal(0, 1.5)),
    )


def _paint_street(rng: np.random.Generator, view: View, canvas: Canvas) -> None:
    street = Street.sample(rng)
    Ground(canvas, street, rng).paint(rails=False)
    things: List[Thing] = []
    for side in street.sides:
        things += layout.place_frontage(rng, view, street, side, None)
        things += layout.place_green(rng, view, side)
    for thing in [tree_line(rng, view, 140.0), *painting_order(things)]:
        canvas.paint(thing)


def _paint_people(rng: np.random.Generator, view: View, canvas: Canvas) -> Picture:
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    depths = np.sort(rng.uniform(2.6, 5.6, count))[::-1]
    bodies, figures = [], []
    for depth in depths:
        height = rng.normal(1.72, 0.09) * (0.75 if rng.random() < 0.12 else 1.0)
        reach = 0.34 * depth * view.camera.size[0] / view.camera.focal
        position = np.array([rng.uniform(-reach, reach), 0.0, depth])
        body = joints(Pose.sample(rng), height, position)
        bodies.append(body)
        figures.append(dress(rng, view.light, body, height))
    obstacle = _obstacle(rng, view, depths)

    shadows = []
    for body in bodies:
        foot = np.array([body['left_toe'], body['right_toe'], body['left_hip'], body['right_hip']])
        foot[:, 1] = 0.0
        shadows.append(np.concatenate([foot, view.light.cast(foot, 1.5)]))
    canvas.darken(shadows, view.light.shadow, softness=0.006)

    # The part of a person that is on top at each pixel, as a number.
    width, height_px = view.camera.size
    top: np.ndarray = np.zeros((height_px, width), np.int32)
    numbers: Dict[Tuple[int, str], int] = {}
    for person, parts in enumerate(figures):
        for part in parts:
            numbers[person, part.name] = len(numbers) + 1
            _cover(top, canvas, part, numbers[person, part.name])
        thing = Thing('person', float(depths[person]), [part.patch for part in parts])
        canvas.paint(thing)
    if obstacle is not None:
        canvas.paint(obstacle)
        for patch in obstacle.patches:
            if patch.solid:
                for points in patch.points:
                    _fill(top, canvas.camera.project(points), 0)

    owners = owner_map(canvas.regions, view.camera.size)
    image = expose(rng, canvas.picture(), owners, canvas.regions)
    people = []
    for person, body in enumerate(bodies):
        own = [number for (owner, _), number in numbers.items() if owner == person]
        mask = (top >= own[0]) & (top <= own[-1])
        keypoints: np.ndarray = np.zeros((len(KEYPOINTS), 3))
        for row, name in enumerate(KEYPOINTS):
            x, y = canvas.camera.project(body[name])
            if 0 <= x < width and 0 <= y < height_px:
                shown = [numbers[person, part] for part in parts_that_show(name)]
                keypoints[row] = x, y, 2 if top[int(y), int(x)] in shown else 1
        people.append(Person(keypoints, mask))
    return Picture(image, people)


def _obstacle(rng: np.random.Generator, view: View, depths: np.ndarray) -> Optional[Thing]:
    """Return a bush or a car in front of the people, in a third of the images; None in the others."""
    kind = rng.random()
    if kind > 0.34:
        return None
    depth = max(1.6, float(depths[-1]) - rng.uniform(0.5, 0.9))
    reach = 0.4 * depth * view.camera.size[0] / view.camera.focal
    position = np.array([rng.uniform(-reach, reach), 0.0, depth])
    if kind < 0.24:
        return bush(rng, view, position, rng.uniform(0.5, 1.0), rng.uniform(0.4, 1.1))
    return car(rng, view, position + [0.0, 0.0, 0.1], np.pi / 2 + rng.normal(0, 0.2))


def _cover(top: np.ndarray, canvas: Canvas, part: Part, number: int) -> None:
    for points in part.patch.points:
        _fill(top, canvas.camera.project(points), number)


def _fill(top: np.ndarray, polygon: np.ndarray, number: int) -> None:
    # As in Canvas: the origin of OpenCV is the centre of the first pixel, ours is its corner.
    corners = np.round((polygon - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(top, [corners], number, cv2.LINE_8, 4)
