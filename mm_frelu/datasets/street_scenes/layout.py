"""Placement of buildings, trees, street furniture, traffic and people on one street.

Every function returns things in arbitrary order. The scene sorts them by distance.
"""

from types import MappingProxyType
from typing import Callable, List, Mapping, Optional, Tuple

import numpy as np

from . import fixtures, frontage, people, plants
from .camera import NEAR
from .cars import car
from .geometry import Thing
from .large_vehicles import bus, train, truck
from .solids import View
from .street import Side, Street

GUESTS = ('bus', 'truck', 'train', 'motorcycle')
"""Rare vehicles. Every scene has at least one of them, in turn."""

BARRIERS = ('wall', 'fence', 'hedge')
"""Barriers between buildings. Every scene has at least one of them, in turn."""

_BUILDERS: Mapping[str, Tuple[Callable[..., Thing], float]] = MappingProxyType(
    {'car': (car, 4.6), 'truck': (truck, 9.0), 'bus': (bus, 12.0), 'train': (train, 27.0)}
)
"""Builder of each vehicle, and the length in metres that it occupies in its lane."""

_CLEAR = 37.0  # metres; beyond this distance single objects are too small for a box


def place_frontage(
    rng: np.random.Generator, view: View, street: Street, side: Side, barrier: Optional[str]
) -> List[Thing]:
    """Buildings, and gaps with gardens or parks between them, to the end of the street.

    Args:
        rng: Source of all variation.
        view: Camera and light.
        street: Gives the share of buildings.
        side: Side of the street.
        barrier: The barrier in the first gap.
    """
    things: List[Thing] = []
    kinds = ['building', *BARRIERS, 'park']
    open_share = np.array([0.26, 0.30, 0.16, 0.28]) * (1 - street.built_up)
    z = NEAR
    gap_at = rng.uniform(4, 9)  # start of the gap with the given barrier
    while z < 95:
        if barrier and z < gap_at:
            kind, length = 'building', gap_at - z
        elif barrier:
            kind, length, barrier = barrier, rng.uniform(10, 18), None
        else:
            kind = str(rng.choice(kinds, p=[street.built_up, *open_share]))
            length = rng.uniform(10, 24) if kind == 'building' else rng.uniform(8, 16)
        end = z + length
        if kind == 'building':
            setback = rng.uniform(0, 1.2)
            things.append(frontage.building(rng, view, side.sign, side.front, z, end, setback))
        else:
            if kind != 'park':
                builder = {'wall': frontage.wall, 'fence': frontage.fence, 'hedge': plants.hedge}[
                    kind
                ]
                things.append(builder(rng, view, side.sign, side.front, z, end))
            things.extend(_garden(rng, view, side, z, end))
        z = end + (rng.uniform(1.5, 4) if rng.random() < 0.2 else 0.0)
    return things


def _garden(
    rng: np.random.Generator, view: View, side: Side, near: float, far: float
) -> List[Thing]:
    """Trees and a house behind a fence, wall or hedge."""
    things = []
    if rng.random() < 0.5:
        things.append(
            frontage.building(rng, view, side.sign, side.front, near + 1, far, rng.uniform(9, 18))
        )
    for _ in range(rng.integers(0, 4)):
        z = rng.uniform(max(near, 5.0), max(far, 6.0))
        position = np.array([side.sign * (side.front + rng.uniform(2.5, 8)), 0.0, z])
        things.append(plants.tree(rng, view, position, rng.uniform(0.9, 1.5)))
    return things


def place_green(rng: np.random.Generator, view: View, side: Side) -> List[Thing]:
    """Street trees and bushes on the grass or at the edge of the sidewalk."""
    things: List[Thing] = []
    grass = side.verge[1] > side.verge[0]
    if not grass and rng.random() < 0.55:
        return things
    x = sum(side.verge) / 2 if grass else side.path[0] + 0.8
    for z in np.arange(rng.uniform(7, 14), 60, rng.uniform(7, 14)):
        position = np.array([side.sign * x, 0.0, z + rng.uniform(-1, 1)])
        if rng.random() < 0.7:
            things.append(plants.tree(rng, view, position, rng.uniform(0.8, 1.2)))
        elif grass:
            things.append(
                plants.bush(rng, view, position, rng.uniform(0.9, 2.0), rng.uniform(0.6, 1.3))
            )
    return things


def place_furniture(rng: np.random.Generator, view: View, side: Side) -> List[Thing]:
    """Lamps, traffic lights, signs and bollards along the kerb."""
    things: List[Thing] = []
    z = rng.uniform(6, 9)
    while z < _CLEAR:
        position = np.array([side.sign * (side.kerb + rng.uniform(0.35, 0.6)), 0.0, z])
        kind = rng.choice(['lamp', 'light', 'sign', 'bollards'], p=[0.24, 0.3, 0.36, 0.1])
        if z > 21 and kind in ('light', 'sign'):
            kind = 'lamp'
        if kind == 'lamp':
            things.extend(fixtures.lamp_post(rng, view, position, side.sign))
        elif kind == 'light':
            things.extend(fixtures.traffic_light(rng, view, position, side.sign))
        elif kind == 'sign':
            things.extend(fixtures.sign_post(rng, view, position))
        else:
            things.extend(fixtures.bollards(rng, view, position))
        z += rng.uniform(4.5, 9)
    return things


def place_people(rng: np.random.Generator, view: View, side: Side) -> List[Thing]:
    """Walkers, groups of them and parked bicycles on one sidewalk."""
    things: List[Thing] = []
    inner, outer = side.path
    for _ in range(rng.integers(2, 7)):
        x = rng.uniform(inner + 0.4, outer - 0.3)
        z = 6 + 18 * rng.beta(1.1, 1.9)
        things.append(people.person(rng, view, np.array([side.sign * x, 0.12, z])))
    if rng.random() < 0.3:
        z = rng.uniform(24, 40)
        position = np.array([side.sign * (inner + outer) / 2, 0.12, z])
        things.append(people.person_group(rng, view, position, int(rng.integers(3, 7))))
    if rng.random() < 0.5:
        x, z = rng.uniform(inner + 0.8, outer - 0.4), rng.uniform(7, 16)
        for i in range(rng.integers(1, 3)):
            position = np.array([side.sign * x, 0.12, z + 1.8 * i])
            things.append(people.bicycle(rng, view, position, _across(rng)))
    return things


def place_traffic(rng: np.random.Generator, view: View, street: Street, guest: str) -> List[Thing]:
    """Vehicles in every lane, riders at the edge, parked cars.

    Args:
        rng: Source of all variation.
        view: Camera and light.
        street: The cross-section.
        guest: A vehicle of :data:`GUESTS` that is always included.
    """
    things: List[Thing] = []
    for i, (x, oncoming) in enumerate(zip(street.lanes, street.oncoming)):
        first = guest if i == street.guest_lane else None
        # The lane ahead of us keeps its distance.
        z = rng.uniform(10, 20) if abs(x) < 1 else rng.uniform(7, 14)
        gap = 6 + 24 * (1 - street.busy)
        things.extend(_lane(rng, view, x, z, np.pi if oncoming else 0.0, gap, first))
    for side in street.sides:
        if side.parking:
            things.extend(_parked(rng, view, side, 0.25 + 0.55 * street.busy))
        if rng.random() < 0.45:
            x = side.sign * (side.kerb - (2.7 if side.parking else 0.7))
            position = np.array([x, 0.0, rng.uniform(6.5, 16)])
            things.extend(
                people.rider(rng, view, position, _across(rng), bool(rng.random() < 0.25))
            )
    if rng.random() < 0.3:  # somebody crosses
        position = np.array([rng.uniform(*street.edges), 0.0, rng.uniform(9, 18)])
        things.append(people.person(rng, view, position))
    return things


def _lane(
    rng: np.random.Generator,
    view: View,
    x: float,
    z: float,
    yaw: float,
    gap: float,
    first: Optional[str],
) -> List[Thing]:
    things: List[Thing] = []
    while z < _CLEAR:
        kind = first or str(
            rng.choice(['car', 'truck', 'bus', 'motorcycle'], p=[0.88, 0.05, 0.03, 0.04])
        )
        drift = np.array([x + rng.uniform(-0.25, 0.25), 0.0, 0.0])
        if kind == 'motorcycle':
            position = drift + [0, 0, z]
            things.extend(people.rider(rng, view, position, _across(rng), motor=True))
            length = 2.2
        else:
            builder, length = _BUILDERS[kind]
            things.append(
                builder(
                    rng, view, drift + [0, 0, z + length / 2], yaw + rng.normal(0, 0.1 / length)
                )
            )
        z += length + gap * rng.uniform(0.6, 1.6)
        first = None
    if rng.random() < 0.4:
        things.append(_car_group(rng, view, x, z + 6, yaw))
    return things


def _car_group(rng: np.random.Generator, view: View, x: float, z: float, yaw: float) -> Thing:
    """A queue far ahead in which single cars cannot be separated."""
    group = Thing('car', z, group=True)
    for i in reversed(range(int(rng.integers(2, 5)))):
        one = car(rng, view, np.array([x, 0.0, z + 5.2 * i]), yaw)
        group.patches.extend(one.patches)
    return group


def _parked(rng: np.random.Generator, view: View, side: Side, share: float) -> List[Thing]:
    things: List[Thing] = []
    z = rng.uniform(5, 9)
    while z < 32:
        if rng.random() < share:
            position = np.array([side.sign * (side.kerb - 1.05), 0.0, z])
            things.append(car(rng, view, position, np.pi if side.sign < 0 else 0.0))
        z += rng.uniform(5.4, 6.6)
    return things


def _across(rng: np.random.Generator) -> float:
    """A heading that is not along the line of sight, where a flat bicycle would be invisible."""
    return float(rng.choice([0.0, np.pi]) + rng.uniform(-0.95, 0.95))
