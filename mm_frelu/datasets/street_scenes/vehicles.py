"""Cars, trucks, buses and trains: boxes with glass, lamps and wheels.

Each builder takes a position on the road and a yaw (0 drives away from the camera, pi towards it) and returns a thing.
"""

from typing import Dict, Optional, Tuple

import numpy as np

from .geometry import Face, Thing, block, disc, place
from .light import Color
from .solids import View

_PAINT: Tuple[Color, ...] = (
    (225, 225, 222),
    (190, 193, 196),
    (128, 132, 136),
    (66, 70, 76),
    (34, 36, 40),
    (168, 30, 32),
    (38, 70, 140),
    (30, 92, 78),
    (206, 178, 120),
    (198, 106, 34),
    (112, 26, 46),
    (96, 148, 190),
)
_GLASS: Color = (44, 54, 64)
_RUBBER: Color = (26, 26, 28)


def car(rng: np.random.Generator, view: View, position: np.ndarray, yaw: float) -> Thing:
    """A hatchback, saloon, estate or van."""
    kind = rng.choice(['hatchback', 'saloon', 'estate', 'van'], p=[0.34, 0.28, 0.2, 0.18])
    length, height, belt, bonnet, boot, slope = {
        'hatchback': (3.9, 1.48, 0.92, 0.26, 0.02, 0.16),
        'saloon': (4.6, 1.44, 0.90, 0.27, 0.17, 0.16),
        'estate': (4.6, 1.52, 0.93, 0.26, 0.01, 0.10),
        'van': (4.9, 1.95, 1.08, 0.14, 0.00, 0.08),
    }[kind]
    length, height = length * rng.uniform(0.94, 1.06), height * rng.uniform(0.96, 1.06)
    half, rear, front = rng.uniform(0.84, 0.93), -length / 2, length / 2
    color = np.array(_PAINT[rng.integers(len(_PAINT))]) * rng.uniform(0.85, 1.1)
    thing = _vehicle('car', position, length, half, height, yaw, view)

    chassis = block(
        (-half + 0.1, half - 0.1, rear + 0.1, front - 0.1, 0.14), (-half, half, rear, front, 0.36)
    )
    _paint(thing, view, _placed(chassis, position, yaw), _RUBBER)
    body = _placed(
        block(
            (-half, half, rear, front, 0.3),
            (-half + 0.05, half - 0.05, rear + 0.06, front - 0.2, belt),
        ),
        position,
        yaw,
    )
    sides = _paint(thing, view, body, color)
    cabin = _placed(
        block(
            (-half + 0.06, half - 0.06, rear + boot * length, front - bonnet * length, belt),
            (
                -half + 0.22,
                half - 0.22,
                rear + (boot + slope * 0.6) * length,
                front - (bonnet + slope) * length,
                height,
            ),
        ),
        position,
        yaw,
    )
    panes = _paint(thing, view, cabin, color)
    for name, face in panes.items():
        if name != 'top':
            glass = view.light.shade(_GLASS, face.normal)
            columns = [(0.06, 0.47), (0.53, 0.94)] if name in ('left', 'right') else [(0.06, 0.94)]
            thing.add(face.grid(columns, [(0.1, 0.84)]), glass, solid=False)
            # A strip of sky in the glass.
            thing.add(face.grid(columns, [(0.62, 0.84)]), glass + 34, solid=False)
    if 'front' in sides:
        grille = view.light.shade((40, 42, 46), sides['front'].normal)
        thing.add(sides['front'].rectangle(0.24, 0.42, 0.76, 0.68), grille, solid=False)
    _lamps(thing, view, sides, low=0.42, high=0.78)
    _wheels(
        thing, view, position, yaw, half, 0.32, (rear + 0.19 * length, front - 0.19 * length), sides
    )
    return thing


def bus(rng: np.random.Generator, view: View, position: np.ndarray, yaw: float) -> Thing:
    """A city bus with a band of windows and a bright destination board."""
    length, half, height = rng.uniform(9.5, 12), 1.25, rng.uniform(2.95, 3.2)
    paints = (
        (196, 34, 36),
        (232, 190, 44),
        (228, 228, 224),
        (44, 96, 168),
        (46, 128, 84),
        (240, 130, 36),
    )
    color = np.array(paints[rng.integers(len(paints))]) * rng.uniform(0.9, 1.05)
    thing = _vehicle('bus', position, length, half, height, yaw, view)
    body = _placed(
        block(
            (-half, half, -length / 2, length / 2, 0.32),
            (-half + 0.04, half - 0.04, -length / 2, length / 2 - 0.1, height),
        ),
        position,
        yaw,
    )
    sides = _paint(thing, view, body, color)
    for name, face in sides.items():
        glass = view.light.shade(_GLASS, face.normal)
        trim = view.light.shade((240, 240, 236), face.normal)
        board = view.light.lit((255, 176, 40)) + 10
        if name in ('left', 'right'):
            count = 7
            columns = [
                (0.02 + i / count * 0.97, 0.005 + (i + 1) / count * 0.97) for i in range(count)
            ]
            thing.add(face.grid(columns, [(0.44, 0.82)]), glass, solid=False)
            thing.add(face.grid(columns, [(0.68, 0.82)]), glass + 30, solid=False)
            thing.add(face.rectangle(0, 0.3, 1, 0.36), trim, solid=False)
            if name == 'right':  # doors towards the kerb
                thing.add(
                    face.grid([(0.44, 0.53), (0.88, 0.97)], [(0.02, 0.8)]), glass + 12, solid=False
                )
        elif name == 'front':
            thing.add(face.rectangle(0.04, 0.34, 0.96, 0.8), glass, solid=False)
            thing.add(face.rectangle(0.04, 0.62, 0.5, 0.8), glass + 30, solid=False)
            thing.add(face.rectangle(0.2, 0.83, 0.8, 0.95), board, solid=False)
        elif name == 'rear':
            thing.add(face.rectangle(0.1, 0.52, 0.9, 0.8), glass, solid=False)
            thing.add(face.rectangle(0.3, 0.84, 0.7, 0.95), board, solid=False)
            thing.add(
                face.grid([(0.14, 0.86)], [(0.16, 0.2), (0.24, 0.28), (0.32, 0.36)]),
                glass,
                solid=False,
            )
    _lamps(thing, view, sides, low=0.06, high=0.15)
    _wheels(thing, view, position, yaw, half, 0.48, (-length * 0.28, length * 0.27), sides)
    return thing


def truck(rng: np.random.Generator, view: View, position: np.ndarray, yaw: float) -> Thing:
    """A lorry: a cab, and a taller box, tarpaulin or open bed behind it."""
    length, half, height = rng.uniform(6.5, 9.5), rng.uniform(1.12, 1.25), rng.uniform(3.0, 3.7)
    box_paints = (
        (226, 224, 216),
        (186, 190, 194),
        (52, 94, 156),
        (60, 116, 80),
        (182, 60, 44),
        (150, 130, 98),
    )
    box_color = np.array(box_paints[rng.integers(len(box_paints))])
    cab_color = np.array(_PAINT[rng.integers(len(_PAINT))])
    thing = _vehicle('truck', position, length, half, height, yaw, view)
    split = length / 2 - 2.0
    frame = _placed(
        block((-0.8, 0.8, -length / 2, split, 0.45), (-0.8, 0.8, -length / 2, split, 1.0)),
        position,
        yaw,
    )
    cab = _placed(
        block(
            (-half + 0.08, half - 0.08, split, length / 2, 0.4),
            (-half + 0.1, half - 0.1, split, length / 2 - 0.25, 2.5),
        ),
        position,
        yaw,
    )
    box = _placed(
        block(
            (-half, half, -length / 2, split - 0.25, 0.95),
            (-half, half, -length / 2, split - 0.25, height),
        ),
        position,
        yaw,
    )

    def paint_cab() -> Dict[str, Face]:
        sides = _paint(thing, view, cab, cab_color)
        for name, face in sides.items():
            glass = view.light.shade(_GLASS, face.normal)
            if name == 'front':
                thing.add(face.rectangle(0.06, 0.5, 0.94, 0.86), glass, solid=False)
                thing.add(face.rectangle(0.06, 0.72, 0.6, 0.86), glass + 30, solid=False)
                thing.add(
                    face.grid([(0.2, 0.8)], [(0.14, 0.2), (0.24, 0.3), (0.34, 0.4)]),
                    glass,
                    solid=False,
                )
            elif name in ('left', 'right'):
                window = (0.12, 0.66) if name == 'left' else (0.34, 0.88)
                thing.add(face.grid([window], [(0.52, 0.86)]), glass, solid=False)
        return sides

    def paint_box() -> Dict[str, Face]:
        sides = _paint(thing, view, box, box_color)
        for name, face in sides.items():
            seam = view.light.shade(box_color * 0.66, face.normal)
            if name == 'rear':
                thing.add(
                    face.grid([(0.49, 0.51), (0.24, 0.26), (0.74, 0.76)], [(0.03, 0.97)]),
                    seam,
                    solid=False,
                )
                stripes = [(i / 8, (i + 0.5) / 8) for i in range(8)]
                thing.add(
                    face.rectangle(0, 0, 1, 0.05), view.light.lit((235, 235, 230)), solid=False
                )
                thing.add(
                    face.grid(stripes, [(0, 0.05)]), view.light.lit((206, 36, 30)), solid=False
                )
            elif name in ('left', 'right'):
                ribs = [(i / 7 - 0.006, i / 7 + 0.006) for i in range(1, 7)]
                thing.add(face.grid(ribs, [(0.03, 0.97)]), seam, solid=False)
        return sides

    sides = _paint(thing, view, frame, _RUBBER)
    # The end that is farther away is painted first.
    order = (paint_cab, paint_box) if np.cos(yaw) > 0 else (paint_box, paint_cab)
    for paint_part in order:
        sides = {**sides, **paint_part()}
    _lamps(
        thing,
        view,
        {k: f for k, f in cab.items() if k == 'front' and k in sides},
        low=0.06,
        high=0.16,
    )
    rear_bar = block(
        (-half, half, -length / 2 - 0.02, -length / 2, 0.55),
        (-half, half, -length / 2 - 0.02, -length / 2, 0.95),
    )
    rear_sides = _paint(
        thing, view, {'rear': _placed(rear_bar, position, yaw)['rear']}, (48, 48, 50)
    )
    _lamps(thing, view, rear_sides, low=0.25, high=0.85)
    axles = (-length * 0.36, -length * 0.22, length / 2 - 0.9)
    _wheels(
        thing,
        view,
        position,
        yaw,
        half - 0.04,
        0.5,
        axles,
        {k: f for k, f in sides.items() if k != 'front'},
    )
    return thing


def train(rng: np.random.Generator, view: View, position: np.ndarray, yaw: float) -> Thing:
    """A tram in three cars, low on its rails, with a pantograph."""
    car_length, half, height = rng.uniform(7, 9), 1.22, rng.uniform(3.2, 3.5)
    paints = (
        (236, 214, 120),
        (214, 218, 220),
        (190, 40, 44),
        (40, 120, 110),
        (236, 236, 230),
        (58, 92, 160),
    )
    color = np.array(paints[rng.integers(len(paints))]) * rng.uniform(0.9, 1.05)
    stripe_color = np.array(paints[rng.integers(len(paints))]) * 0.8
    thing = _vehicle('train', position, 3 * car_length, half, height, yaw, view)
    ahead = place(np.array([0.0, 0.0, 1.0]), np.zeros(3), yaw)
    # Farthest car first.
    offsets = sorted(
        (-car_length, 0.0, car_length), key=lambda offset: -float((position + ahead * offset)[2])
    )
    for offset in offsets:
        center = position + ahead * offset
        nose = 0.35 * car_length / 8
        ends = (-car_length / 2 + 0.15, car_length / 2 - 0.15)
        body = _placed(
            block(
                (-half, half, *ends, 0.18),
                (-half + 0.12, half - 0.12, ends[0] + nose, ends[1] - nose, height),
            ),
            center,
            yaw,
        )
        for name, face in _paint(thing, view, body, color).items():
            glass = view.light.shade((34, 42, 50), face.normal)
            stripe = view.light.shade(stripe_color, face.normal)
            if name in ('left', 'right'):
                thing.add(face.rectangle(0, 0.04, 1, 0.2), stripe, solid=False)
                columns = [(0.03 + i * 0.135, 0.15 + i * 0.135) for i in range(7)]
                thing.add(face.grid(columns, [(0.44, 0.8)]), glass, solid=False)
                thing.add(face.grid(columns[3:4], [(0.06, 0.8)]), glass + 14, solid=False)
            elif name != 'top':
                thing.add(face.rectangle(0, 0.04, 1, 0.2), stripe, solid=False)
                thing.add(face.rectangle(0.08, 0.34, 0.92, 0.82), glass, solid=False)
                thing.add(face.rectangle(0.08, 0.6, 0.92, 0.82), glass + 26, solid=False)
                thing.add(
                    face.rectangle(0.4, 0.86, 0.6, 0.95),
                    view.light.lit((250, 220, 120)),
                    solid=False,
                )
                lamps = view.light.lit((255, 246, 214)) + 20
                thing.add(face.grid([(0.1, 0.2), (0.8, 0.9)], [(0.22, 0.29)]), lamps, solid=False)
    return thing


def _vehicle(
    label: str,
    position: np.ndarray,
    length: float,
    half: float,
    height: float,
    yaw: float,
    view: View,
) -> Thing:
    footprint = np.array(
        [
            (-half, 0, -length / 2),
            (half, 0, -length / 2),
            (half, 0, length / 2),
            (-half, 0, length / 2),
        ]
    )
    footprint = place(footprint, position, yaw)
    reach = np.concatenate([footprint * (1, 0, 1), view.light.cast(footprint, height * 0.9)])
    return Thing(label, float(footprint[:, 2].min()), shadow=reach, footprint=footprint)


def _placed(faces: Dict[str, Face], position: np.ndarray, yaw: float) -> Dict[str, Face]:
    return {name: Face(place(face.corners, position, yaw)) for name, face in faces.items()}


def _paint(thing: Thing, view: View, faces: Dict[str, Face], color: Color) -> Dict[str, Face]:
    return view.paint_block(thing, faces, color)


def _lamps(thing: Thing, view: View, sides: Dict[str, Face], low: float, high: float) -> None:
    ends: Tuple[Tuple[str, Color], ...] = (('rear', (214, 22, 24)), ('front', (255, 248, 220)))
    for name, color in ends:
        face: Optional[Face] = sides.get(name)
        if face is not None:
            lamps = face.grid([(0.04, 0.2), (0.8, 0.96)], [(low, high)])
            thing.add(lamps, view.light.lit(color) + 12, solid=False)
            plate = view.light.shade((236, 236, 230), face.normal)
            thing.add(face.rectangle(0.38, low * 0.4, 0.62, low * 0.4 + 0.14), plate, solid=False)


def _wheels(
    thing: Thing,
    view: View,
    position: np.ndarray,
    yaw: float,
    half: float,
    radius: float,
    axles: Tuple[float, ...],
    sides: Dict[str, Face],
) -> None:
    tyre, hub = view.light.lit(_RUBBER), view.light.lit((120, 122, 126))
    for name, x in (('left', -half - 0.01), ('right', half + 0.01)):
        if name not in sides:
            continue
        for z in axles:
            for size, color in ((1.0, tyre), (0.55, hub)):
                circle = disc((z, radius), radius * size, corners=12)
                points = np.stack([np.full(len(circle), x), circle[:, 1], circle[:, 0]], -1)
                thing.add(place(points, position, yaw), color, solid=size == 1.0)
    for name, z in (('rear', min(axles)), ('front', max(axles))):
        if name in sides:  # tyres seen end on, under the bumper
            for x in (-half + 0.02, half - 0.24):
                points = np.array(
                    [(x, 0, z), (x + 0.22, 0, z), (x + 0.22, radius, z), (x, radius, z)]
                )
                thing.add(place(points, position, yaw), tyre)
