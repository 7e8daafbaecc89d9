"""Flat polygons in space, the parts of everything on the street.

A :class:`Patch` is one or more polygons of one colour. A :class:`Plane` maps flat drawings (people,
bicycles, signs) into space. A :class:`Face` is one side of a box and computes rectangles on it
(windows, lamps, doors).
"""

import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Dict, Iterable, List, Optional, Sequence, SupportsFloat, Tuple

import numpy as np
from numpy.typing import ArrayLike


@dataclass
class Patch:
    """Polygons of one common colour, or of one colour each.

    Attributes:
        points: Corners in metres, shape (polygons, corners, 3).
        color: Red, green, blue in the light of the scene, shape (3,) or (polygons, 3); ``None`` for
            a patch that is only part of the outline.
        solid: Whether the patch is part of the outline of its thing. Windows and lamps are inside
            the outline anyway.
    """

    points: np.ndarray
    color: Optional[np.ndarray]
    solid: bool = True


@dataclass(eq=False)
class Thing:
    """An object or a part of the scene with one label.

    Attributes:
        label: CityScapes label name.
        depth: Distance in metres that decides the drawing order.
        patches: Its patches, from back to front.
        shadow: Points (n, 3) on the ground; their convex hull is the sun's shadow.
        footprint: Corners (n, 3) of its base, which is dark even under an overcast sky.
        group: Whether it is several instances that cannot be separated ('persongroup' in
            CityScapes, crowd in COCO).
    """

    label: str
    depth: float
    patches: List[Patch] = field(default_factory=list)
    shadow: Optional[np.ndarray] = None
    footprint: Optional[np.ndarray] = None
    group: bool = False

    def add(self, points: np.ndarray, color: Optional[np.ndarray], solid: bool = True) -> None:
        """Appends a patch of polygons (k, n, 3), or of one polygon (n, 3)."""
        if points.size:
            self.patches.append(Patch(points if points.ndim == 3 else points[None], color, solid))


@dataclass(frozen=True)
class Plane:
    """A vertical drawing plane: x runs along ``heading``, y runs up, the origin is at ``position``.

    Attributes:
        position: Origin (3,) in metres.
        heading: Angle of the x axis in the ground plane; 0 faces the camera, pi/2 points straight
            ahead.
        lean: Sideways shift per metre of height.
    """

    position: np.ndarray
    heading: float = 0.0
    lean: float = 0.0

    def __call__(self, points: ArrayLike) -> np.ndarray:
        """Maps points (..., 2) of the drawing to the world, shape (..., 3)."""
        drawn = np.asarray(points, dtype=float)
        x = drawn[..., 0] + self.lean * drawn[..., 1]
        world = np.empty((*drawn.shape[:-1], 3))
        world[..., 0] = self.position[0] + x * math.cos(self.heading)
        world[..., 1] = self.position[1] + drawn[..., 1]
        world[..., 2] = self.position[2] + x * math.sin(self.heading)
        return world


@dataclass(frozen=True)
class Face:
    """A side with corners bottom left, bottom right, top right, top left as seen from outside."""

    corners: np.ndarray

    @cached_property
    def normal(self) -> np.ndarray:
        """Unit normal that points outwards."""
        bottom_left, bottom_right, _, top_left = self.corners
        # Written out, because np.cross is slow for two single vectors.
        (a, b, c), (d, e, f) = (
            (top_left - bottom_left).tolist(),
            (bottom_right - bottom_left).tolist(),
        )
        x, y, z = b * f - c * e, c * d - a * f, a * e - b * d
        return np.array([x, y, z]) / max(math.sqrt(x * x + y * y + z * z), 1e-9)

    def at(self, positions: ArrayLike) -> np.ndarray:
        """Maps positions (..., 2) in the unit square to the world."""
        uv = np.asarray(positions, dtype=float)
        u, v = uv[..., :1], uv[..., 1:]
        a, b, c, d = self.corners
        return (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c)

    def rectangle(self, left: float, bottom: float, right: float, top: float) -> np.ndarray:
        """A rectangle in unit coordinates as corners (4, 3)."""
        return self.at([(left, bottom), (right, bottom), (right, top), (left, top)])

    def grid(
        self,
        columns: Sequence[Tuple[SupportsFloat, SupportsFloat]],
        rows: Sequence[Tuple[SupportsFloat, SupportsFloat]],
    ) -> np.ndarray:
        """The rectangles of every column and row interval, shape (columns * rows, 4, 3)."""
        if not len(columns) or not len(rows):
            return np.zeros((0, 4, 3))
        quads = [[(a, c), (b, c), (b, d), (a, d)] for a, b in columns for c, d in rows]
        return self.at(np.array(quads))


def place(points: np.ndarray, position: np.ndarray, yaw: float) -> np.ndarray:
    """Turns points (right, up, ahead) by ``yaw`` to the left and moves them to ``position``."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    return points @ np.array([(cos, 0, sin), (0, 1, 0), (-sin, 0, cos)]) + position


def block(
    low: Tuple[float, float, float, float, float],
    high: Tuple[float, float, float, float, float],
) -> Dict[str, Face]:
    """The sides of a box whose top may be smaller than its bottom.

    Args:
        low: Bottom rectangle as left, right, rear, front, height.
        high: Top rectangle likewise.

    Returns:
        Faces under the names 'rear', 'front', 'left', 'right', 'top'.
    """
    corners = {}
    for level, (left, right, rear, front, height) in (('low', low), ('high', high)):
        for side, x in (('left', left), ('right', right)):
            for end, z in (('rear', rear), ('front', front)):
                corners[level, side, end] = np.array([x, height, z])

    def face(*names: Tuple[str, str, str]) -> Face:
        return Face(np.stack([corners[name] for name in names]))

    def wall(first: Tuple[str, str], second: Tuple[str, str]) -> Face:
        return face(('low', *first), ('low', *second), ('high', *second), ('high', *first))

    rear_left, rear_right = ('left', 'rear'), ('right', 'rear')
    front_left, front_right = ('left', 'front'), ('right', 'front')
    return {
        'rear': wall(rear_left, rear_right),
        'front': wall(front_right, front_left),
        'left': wall(front_left, rear_left),
        'right': wall(rear_right, front_right),
        'top': face(
            ('high', *rear_left),
            ('high', *rear_right),
            ('high', *front_right),
            ('high', *front_left),
        ),
    }


def limb(
    start: Iterable[float], end: Iterable[float], width: float, end_width: Optional[float] = None
) -> np.ndarray:
    """A straight tapered bar from ``start`` to ``end`` as corners (4, 2)."""
    (x0, y0), (x1, y1) = start, end
    length = max(math.hypot(x1 - x0, y1 - y0), 1e-9)
    x, y = (y0 - y1) / length / 2, (x1 - x0) / length / 2
    last = width if end_width is None else end_width
    return np.array(
        [
            (x0 + x * width, y0 + y * width),
            (x1 + x * last, y1 + y * last),
            (x1 - x * last, y1 - y * last),
            (x0 - x * width, y0 - y * width),
        ]
    )


def disc(
    center: Sequence[float], radius: float, stretch: float = 1.0, corners: int = 14
) -> np.ndarray:
    """A circle, ``stretch`` times as high as wide, as corners (n, 2)."""
    return np.asarray(center, float) + _unit_circle(corners) * (radius, radius * stretch)


def ring(center: Sequence[float], radius: float, width: float, corners: int = 18) -> np.ndarray:
    """A circle with a hole as one polygon with a seam, corners (2n + 2, 2)."""
    circle = _unit_circle(corners)
    circle = np.concatenate([circle, circle[:1]])
    inside = circle[::-1] * (radius - width)
    return np.asarray(center, float) + np.concatenate([circle * radius, inside])


@lru_cache(maxsize=64)
def _unit_circle(corners: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def box_shape(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """An upright rectangle as corners (4, 2)."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
