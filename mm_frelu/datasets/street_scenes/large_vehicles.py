"""Buses, lorries and trams. The functions have the same arguments as :func:`.cars.car`."""

from typing import Dict, Tuple

import numpy as np

from .geometry import Face, Thing, place
from .light import Color
from .people import pick
from .solids import View
from .vehicle import PAINT, RUBBER, Vehicle

_BUS_PAINT: Tuple[Color, ...] = (
    (196, 34, 36),
    (232, 190, 44),
    (228, 228, 224),
    (44, 96, 168),
    (46, 128, 84),
    (240, 130, 36),
)
_BOX_PAINT: Tuple[Color, ...] = (
    (226, 224, 216),
    (186, 190, 194),
    (52, 94, 156),
    (60, 116, 80),
    (182, 60, 44),
    (150, 130, 98),
)
_TRAM_PAINT: Tuple[Color, ...] = (
    (236, 214, 120),
    (214, 218, 220),
    (190, 40, 44),
    (40, 120, 110),
    (236, 236, 230),
    (58, 92, 160),
)
_TRIM: Color = (240, 240, 236)
_DARK: Color = (44, 50, 58)


def bus(rng: np.random.Generator, view: View, position: np.ndarray, yaw: float) -> Thing:
    """A city bus with a band of windows and a bright destination board."""
    length, half, height = rng.uniform(9.5, 12), 1.25, rng.uniform(2.95, 3.2)
    rear, front = -length / 2, length / 2
    vehicle = Vehicle('bus', view, position, yaw, length, half, height)
    axles = (-length * 0.28, length * 0.27)
    vehicle.add_tyres(0.48, axles)
    sides = vehicle.add_block(
        (-half, half, rear, front, 0.3),
        (-half + 0.04, half - 0.04, rear, front - 0.1, height),
        pick(rng, _BUS_PAINT, 0.08),
    )
    for name, face in sides.items():
        if name in ('left', 'right'):
            columns = [(0.02 + i / 7 * 0.97, 0.005 + (i + 1) / 7 * 0.97) for i in range(7)]
            vehicle.add_panes(face, columns, (0.44, 0.82))
            vehicle.add_detail(face.rectangle(0, 0.3, 1, 0.36), _TRIM, face)
            if name == 'right':  # doors towards the kerb
                doors = face.grid([(0.44, 0.53), (0.88, 0.97)], [(0.02, 0.8)])
                vehicle.add_detail(doors, _DARK, face)
        elif name == 'front':
            vehicle.add_panes(face, [(0.04, 0.96)], (0.34, 0.8), glare=0.66)
            _add_board(vehicle, face, 0.2, 0.8)
        elif name == 'rear':
            vehicle.add_panes(face, [(0.1, 0.9)], (0.52, 0.8), glare=0.7)
            slots = [(0.16, 0.2), (0.24, 0.28), (0.32, 0.36)]
            vehicle.add_detail(face.grid([(0.26, 0.74)], slots), _DARK, face)
            _add_board(vehicle, face, 0.3, 0.7)
    vehicle.add_lamps(sides, low=0.06, high=0.15)
    vehicle.add_wheels(sides, 0.48, axles)
    return vehicle.thing


def truck(rng: np.random.Generator, view: View, position: np.ndarray, yaw: float) -> Thing:
    """A lorry: a cab, and a taller box behind it."""
    length, half, height = rng.uniform(6.5, 9.5), rng.uniform(1.12, 1.25), rng.uniform(3.0, 3.7)
    box_color, cab_color = pick(rng, _BOX_PAINT), pick(rng, PAINT)
    rear, front = -length / 2, length / 2
    split = front - 2.0  # where the cab begins
    vehicle = Vehicle('truck', view, position, yaw, length, half, height)
    axles = (-length * 0.36, -length * 0.22, front - 0.9)
    vehicle.add_tyres(0.5, axles)
    vehicle.add_block((-0.8, 0.8, rear, split, 0.45), (-0.8, 0.8, rear, split, 1.0), RUBBER)

    def paint_cab() -> Dict[str, Face]:
        narrow = half - 0.08
        sides = vehicle.add_block(
            (-narrow, narrow, split, front, 0.4),
            (-narrow, narrow, split, front - 0.25, 2.5),
            cab_color,
        )
        for name, face in sides.items():
            if name == 'front':
                vehicle.add_panes(face, [(0.06, 0.94)], (0.5, 0.86))
                slots = [(0.14, 0.2), (0.24, 0.3), (0.34, 0.4)]
                vehicle.add_detail(face.grid([(0.24, 0.76)], slots), _DARK, face)
            elif name in ('left', 'right'):
                window = (0.12, 0.66) if name == 'left' else (0.34, 0.88)
                vehicle.add_panes(face, [window], (0.52, 0.86))
        vehicle.add_lamps(
            {name: side for name, side in sides.items() if name == 'front'}, 0.06, 0.16
        )
        return sides

    def paint_box() -> Dict[str, Face]:
        end = split - 0.25
        sides = vehicle.add_block(
            (-half, half, rear, end, 0.95), (-half, half, rear, end, height), box_color
        )
        for name, face in sides.items():
            if name == 'rear':
                seams = [(0.24, 0.26), (0.49, 0.51), (0.74, 0.76)]
                vehicle.add_detail(face.grid(seams, [(0.03, 0.97)]), box_color * 0.66, face)
                vehicle.add_detail(face.rectangle(0, 0, 1, 0.05), _TRIM, face)
                stripes = [(i / 8, (i + 0.5) / 8) for i in range(8)]
                vehicle.add_detail(face.grid(stripes, [(0, 0.05)]), (206, 36, 30), face)
            elif name in ('left', 'right'):
                ribs = [(i / 7 - 0.006, i / 7 + 0.006) for i in range(1, 7)]
                vehicle.add_detail(face.grid(ribs, [(0.03, 0.97)]), box_color * 0.66, face)
        bar = (-half, half, rear - 0.02, rear)
        vehicle.add_lamps(vehicle.add_block((*bar, 0.55), (*bar, 0.95), (48, 48, 50)), 0.25, 0.85)
        return sides

    # The end that is farther away is painted first.
    order = (paint_cab, paint_box) if np.cos(yaw) > 0 else (paint_box, paint_cab)
    sides = {name: side for paint in order for name, side in paint().items()}
    vehicle.add_wheels(sides, 0.5, axles)
    return vehicle.thing


def train(rng: np.random.Generator, view: View, position: np.ndarray, yaw: float) -> Thing:
    """A tram of three cars with raked ends, low on its rails, with a pantograph."""
    car_length, half, height = rng.uniform(7, 9), 1.22, rng.uniform(3.2, 3.5)
    color, stripe = pick(rng, _TRAM_PAINT), pick(rng, _TRAM_PAINT) * 0.8
    vehicle = Vehicle('train', view, position, yaw, 3 * car_length, half, height)
    ahead = place(np.array([0.0, 0.0, 1.0]), np.zeros(3), yaw)
    rear, front, rake = -car_length / 2 + 0.15, car_length / 2 - 0.15, 0.045 * car_length
    columns = [(0.03 + i * 0.135, 0.15 + i * 0.135) for i in range(7)]
    # The farthest car first.
    for offset in sorted((-1, 0, 1), key=lambda number: -number * ahead[2]):
        shift = offset * car_length
        if offset == 0:
            arms = np.array([(-0.04, 0, -1), (0.04, 0, -1), (0.04, 0, 0), (-0.04, 0, 0)])
            for foot, knee in ((height - 0.1, height + 0.5), (height + 1.0, height + 0.5)):
                rise = np.outer([0, 0, 1, 1], [0, knee - foot, 0]) + (0, foot, 0)
                vehicle.thing.add(vehicle.place(arms + rise), view.light.lit(_DARK))
        sides = vehicle.add_block(
            (-half, half, shift + rear, shift + front, 0.18),
            (-half + 0.12, half - 0.12, shift + rear + rake, shift + front - rake, height),
            color,
        )
        for name, face in sides.items():
            if name == 'top':
                continue
            vehicle.add_detail(face.rectangle(0, 0.04, 1, 0.2), stripe, face)
            if name in ('left', 'right'):
                vehicle.add_panes(face, columns, (0.44, 0.8), glare=0.7)
                vehicle.add_detail(face.grid(columns[3:4], [(0.06, 0.8)]), _DARK, face)
            else:
                vehicle.add_panes(face, [(0.08, 0.92)], (0.34, 0.82), glare=0.55)
                _add_board(vehicle, face, 0.4, 0.6)
                lamps = face.grid([(0.1, 0.2), (0.8, 0.9)], [(0.22, 0.29)])
                vehicle.thing.add(lamps, view.light.lit((255, 246, 214)) + 20, solid=False)
    return vehicle.thing


def _add_board(vehicle: Vehicle, face: Face, left: float, right: float) -> None:
    """A destination board that shines by itself."""
    amber = vehicle.view.light.lit((255, 176, 40)) + 10
    vehicle.thing.add(face.rectangle(left, 0.84, right, 0.95), amber, solid=False)
