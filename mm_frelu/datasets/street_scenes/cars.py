"""Cars: a body, a cabin of glass, lamps at both ends."""

from types import MappingProxyType
from typing import Mapping, Tuple

import numpy as np

from .geometry import Thing
from .solids import View
from .vehicle import PAINT, RUBBER, Vehicle

# Length, height and height of the window sills in metres; bonnet, boot and slope of the panes as
# shares of the length.
_SHAPES: Mapping[str, Tuple[float, ...]] = MappingProxyType(
    {
        'hatchback': (3.9, 1.48, 0.92, 0.26, 0.02, 0.16),
        'saloon': (4.6, 1.44, 0.90, 0.27, 0.17, 0.16),
        'estate': (4.6, 1.52, 0.93, 0.26, 0.01, 0.10),
        'van': (4.9, 1.95, 1.08, 0.14, 0.00, 0.08),
    }
)


def car(rng: np.random.Generator, view: View, position: np.ndarray, yaw: float) -> Thing:
    """A hatchback, saloon, estate or van.

    Args:
        rng: Source of all variation.
        view: Camera and light.
        position: Middle of the car on the road.
        yaw: 0 drives away from the camera, pi towards it.
    """
    kind = str(rng.choice(list(_SHAPES), p=[0.34, 0.28, 0.2, 0.18]))
    length, height, sill, bonnet, boot, slope = _SHAPES[kind]
    length, height = length * rng.uniform(0.94, 1.06), height * rng.uniform(0.96, 1.06)
    half, rear, front = rng.uniform(0.84, 0.93), -length / 2, length / 2
    color = np.array(PAINT[rng.integers(len(PAINT))]) * rng.uniform(0.85, 1.1)
    vehicle = Vehicle('car', view, position, yaw, length, half, height)
    axles = (rear + 0.19 * length, front - 0.19 * length)

    vehicle.add_tyres(0.32, axles)
    inset, end = half - 0.1, 0.1
    vehicle.add_block(
        (-inset, inset, rear + end, front - end, 0.16), (-half, half, rear, front, 0.36), RUBBER
    )
    body = vehicle.add_block(
        (-half, half, rear, front, 0.3),
        (-half + 0.05, half - 0.05, rear + 0.06, front - 0.2, sill),
        color,
    )
    for name, face in body.items():
        if name == 'front':
            vehicle.add_detail(face.rectangle(0.24, 0.42, 0.76, 0.68), (40, 42, 46), face)
        if name != 'top':
            # Bumpers and door sills of black plastic.
            vehicle.add_detail(face.rectangle(0, 0, 1, 0.12), (52, 53, 56), face)
    cabin = vehicle.add_block(
        (-half + 0.06, half - 0.06, rear + boot * length, front - bonnet * length, sill),
        (
            -half + 0.22,
            half - 0.22,
            rear + (boot + slope * 0.6) * length,
            front - (bonnet + slope) * length,
            height,
        ),
        color,
    )
    for name, face in cabin.items():
        if name in ('left', 'right'):
            vehicle.add_panes(face, [(0.06, 0.47), (0.53, 0.94)], (0.1, 0.86))
        elif name != 'top':
            vehicle.add_panes(face, [(0.06, 0.94)], (0.1, 0.86))
    vehicle.add_lamps(body, low=0.44, high=0.8)
    vehicle.add_wheels(body, 0.32, axles)
    return vehicle.thing
