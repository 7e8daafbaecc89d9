"""Buildings with windows, walls, and fences with slats along the street."""

from typing import List, Tuple

import numpy as np

from .camera import NEAR
from .geometry import Face, Thing, block
from .light import Color
from .people import pick
from .solids import View

_FACADES: Tuple[Color, ...] = (
    (206, 196, 178),
    (176, 164, 150),
    (150, 82, 66),
    (122, 92, 78),
    (214, 206, 196),
    (134, 138, 144),
    (196, 170, 122),
    (160, 122, 104),
    (104, 108, 116),
    (186, 188, 190),
)
_WALLS: Tuple[Color, ...] = ((150, 146, 140), (136, 84, 68), (176, 170, 158), (120, 118, 116))
_FENCES: Tuple[Color, ...] = (
    (66, 72, 74),
    (118, 84, 56),
    (186, 186, 184),
    (62, 92, 70),
    (140, 110, 80),
)


def _along(sign: int, x: float, near: float, far: float, low: float, high: float) -> Face:
    """A vertical plane along the street, seen from the road."""
    # On the right-hand side the far end lies on the left as seen from the road.
    left, right = (far, near) if sign > 0 else (near, far)
    x = sign * x
    return Face(np.array([(x, low, left), (x, low, right), (x, high, right), (x, high, left)]))


def building(
    rng: np.random.Generator,
    view: View,
    sign: int,
    front: float,
    near: float,
    far: float,
    setback: float = 0.0,
) -> Thing:
    """A block of flats, an office or shop between two distances along one side of the street."""
    storeys = int(rng.integers(2, 6))
    storey = rng.uniform(2.9, 3.6)
    height = storeys * storey + rng.uniform(0.3, 1.2)
    wall = pick(rng, _FACADES, 0.12)
    x = front + setback
    near = max(near, NEAR)
    thing = Thing('building', near)
    inner, outer = sorted((sign * x, sign * (x + 12)))
    faces = block((inner, outer, near, far, 0.0), (inner, outer, near, far, height))
    sides = view.paint_block(thing, faces, wall, skip=('front', 'top'))
    pane_width, gap = rng.uniform(0.9, 1.8), rng.uniform(0.8, 1.8)
    shop = rng.random() < 0.5
    lit_share = rng.uniform(0, 0.25)
    for name, face in sides.items():
        length = 12.0 if name == 'rear' else far - near
        if name == 'rear' and rng.random() < 0.3:  # a blind gable
            continue
        count = max(1, int(length / (pane_width + gap)))
        pitch = 1 / count
        share = pane_width / (pane_width + gap)
        columns = [
            ((i + 0.5 - share / 2) * pitch, (i + 0.5 + share / 2) * pitch) for i in range(count)
        ]
        rows = [
            ((i * storey + 0.9) / height, (i * storey + storey - 0.55) / height)
            for i in range(storeys)
        ]
        _windows(rng, view, thing, face, columns, rows[1 if shop else 0 :], lit_share)
        trim = view.light.shade(wall * rng.choice([0.72, 1.18]), face.normal)
        cornice = [(1 - 0.45 / height, 1.0)]
        bands = [
            ((i * storey - 0.1) / height, (i * storey + 0.12) / height) for i in range(1, storeys)
        ]
        thing.add(
            face.grid([(0, 1)], cornice + (bands if rng.random() < 0.5 else bands[:1])),
            trim,
            solid=False,
        )
        if shop and name != 'rear':
            _shop_fronts(rng, view, thing, face, length, storey / height)
    _roof(rng, view, thing, sign, x, near, far, height)
    footprint = np.array([(a, 0, b) for a in (inner, outer) for b in (near, far)])
    thing.shadow = np.concatenate([footprint, view.light.cast(footprint, height)])
    return thing


def _windows(
    rng: np.random.Generator,
    view: View,
    thing: Thing,
    face: Face,
    columns: List[Tuple[float, float]],
    rows: List[Tuple[float, float]],
    lit_share: float,
) -> None:
    if not rows:
        return
    quads = face.grid(columns, rows)
    kind = rng.random(len(quads))
    glass = view.light.shade((58, 68, 80), face.normal)
    looks = (
        (kind >= 0.35 + lit_share, glass),
        (
            (kind >= lit_share) & (kind < 0.35 + lit_share),
            glass * 0.6 + view.light.horizon * 0.3,
        ),  # mirrors the sky
        (kind < lit_share, view.light.lit((240, 214, 150))),
    )
    frames = quads + (quads.mean(1, keepdims=True) - quads) * -0.16
    thing.add(frames, view.light.shade((222, 218, 210), face.normal), solid=False)
    for chosen, color in looks:
        thing.add(quads[chosen], color, solid=False)


def _shop_fronts(
    rng: np.random.Generator, view: View, thing: Thing, face: Face, length: float, top: float
) -> None:
    count = max(1, int(length / rng.uniform(4, 6)))
    for i in range(count):
        left, right = (i + 0.08) / count, (i + 0.92) / count
        glass = view.light.shade((70, 78, 84), face.normal) * rng.uniform(0.8, 1.3)
        board = view.light.shade(
            pick(rng, ((176, 44, 40), (40, 86, 140), (50, 110, 76), (220, 190, 90), (60, 60, 64))),
            face.normal,
        )
        thing.add(face.rectangle(left, 0.12 * top, right, 0.72 * top), glass, solid=False)
        thing.add(face.rectangle(left, 0.76 * top, right, 0.94 * top), board, solid=False)
        door = left + 0.7 * (right - left)
        thing.add(
            face.rectangle(door, 0, door + 0.16 * (right - left), 0.7 * top),
            glass * 0.6,
            solid=False,
        )


def _roof(
    rng: np.random.Generator,
    view: View,
    thing: Thing,
    sign: int,
    x: float,
    near: float,
    far: float,
    height: float,
) -> None:
    if rng.random() < 0.45:
        return
    tiles = pick(rng, ((142, 70, 52), (92, 84, 80), (70, 74, 82)))
    rise = rng.uniform(1.6, 3.4)
    inner, outer = sorted((sign * x, sign * (x + 12)))
    ridge = (inner + outer) / 2
    faces = block(
        (inner - 0.3, outer + 0.3, near, far, height),
        (ridge - 0.1, ridge + 0.1, near, far, height + rise),
    )
    view.paint_block(thing, faces, tiles, skip=('front', 'top'))


def wall(
    rng: np.random.Generator, view: View, sign: int, front: float, near: float, far: float
) -> Thing:
    """A free-standing wall of brick, concrete or plaster with a coping."""
    near, height = max(near, NEAR), rng.uniform(1.9, 3.4)
    color = pick(rng, _WALLS)
    thing = Thing('wall', near)
    inner, outer = sorted((sign * front, sign * (front + 0.35)))
    faces = block((inner, outer, near, far, 0.0), (inner, outer, near, far, height))
    sides = view.paint_block(thing, faces, color, skip=('front',))
    for name, face in sides.items():
        if name == 'top':
            continue
        joint = view.light.shade(color * 0.8, face.normal)
        course = rng.uniform(0.32, 0.5)
        rows = [(y / height, (y + 0.045) / height) for y in np.arange(course, height - 0.1, course)]
        thing.add(face.grid([(0, 1)], rows), joint, solid=False)
        if name != 'rear':
            length = far - near
            bricks = np.arange(0.8, length, 1.2) / length
            for i, (low, _) in enumerate(rows[:-1]):
                shift = 0.6 / length * (i % 2)
                posts = [(u + shift, u + shift + 0.05 / length) for u in bricks if u + shift < 0.99]
                thing.add(face.grid(posts, [(low, rows[i + 1][0])]), joint, solid=False)
        coping = view.light.shade(color * 1.15, face.normal)
        thing.add(face.rectangle(0, 1 - 0.16 / height, 1, 1), coping, solid=False)
    return thing


def fence(
    rng: np.random.Generator, view: View, sign: int, front: float, near: float, far: float
) -> Thing:
    """Slats or bars between two rails. The gaps are transparent, but the label covers them."""
    near, height = max(near, NEAR), rng.uniform(1.4, 2.5)
    color = pick(rng, _FENCES)
    face = _along(sign, front, near, far, 0.0, height)
    thing = Thing('fence', near)
    thing.add(face.corners, None)
    shaded = view.light.shade(color, face.normal)
    length = far - near
    pitch, share = rng.uniform(0.22, 0.5), rng.uniform(0.22, 0.6)
    slats = [
        (z / length, (z + pitch * share) / length) for z in np.arange(0, length - pitch, pitch)
    ]
    thing.add(face.grid(slats, [(0.04, 0.97)]), shaded, solid=False)
    thing.add(face.grid([(0, 1)], [(0.16, 0.24), (0.78, 0.86)]), shaded * 0.85, solid=False)
    posts = [(z / length, (z + 0.14) / length) for z in np.arange(0, length, 2.4)]
    thing.add(face.grid(posts, [(0, 1.0)]), shaded * 0.75, solid=False)
    return thing
