"""People on foot and on two wheels, all of them flat drawings in metres."""

from typing import List, Tuple

import numpy as np

from .geometry import Plane, Thing, box_shape, disc, limb, ring
from .light import Color
from .solids import View

SKIN: Tuple[Color, ...] = ((236, 196, 168), (214, 164, 130), (164, 112, 80), (106, 70, 50))
HAIR: Tuple[Color, ...] = ((30, 24, 22), (74, 50, 34), (150, 116, 66), (160, 160, 158))
CLOTH: Tuple[Color, ...] = (
    (178, 40, 44),
    (44, 84, 160),
    (228, 226, 220),
    (42, 44, 50),
    (216, 172, 52),
    (62, 124, 84),
    (126, 84, 140),
    (120, 122, 124),
    (220, 120, 60),
    (150, 176, 200),
)
TROUSERS: Tuple[Color, ...] = (
    (40, 46, 66),
    (34, 34, 38),
    (96, 84, 70),
    (120, 126, 134),
    (66, 84, 116),
)


def pick(rng: np.random.Generator, colors: Tuple[Color, ...], spread: float = 0.1) -> np.ndarray:
    """One of the colours, a little lighter or darker."""
    return np.array(colors[rng.integers(len(colors))]) * rng.uniform(1 - spread, 1 + spread)


def person(rng: np.random.Generator, view: View, position: np.ndarray) -> Thing:
    """Somebody walking or standing, about 1.75 m tall."""
    height = rng.normal(1.0, 0.05) * (0.72 if rng.random() < 0.1 else 1.0)
    plane = Plane(position, 0.0, rng.normal(0, 0.015))
    light = view.light
    thing = Thing('person', float(position[2]), shadow=_shadow(view, position, 1.7 * height))
    side, stride = rng.choice([-1, 1]), rng.uniform(0.02, 0.32)
    skin, top, legs = (
        light.lit(pick(rng, SKIN)),
        light.lit(pick(rng, CLOTH)),
        light.lit(pick(rng, TROUSERS)),
    )

    def add(shape: np.ndarray, color: np.ndarray, solid: bool = True) -> None:
        thing.add(plane(shape * height), color, solid)

    for foot, knee_bend, shade in ((-stride, 0.0, 0.8), (stride, 0.06, 1.0)):
        hip, knee = (0.05 * np.sign(foot), 0.9), (foot * 0.5 + knee_bend * side, 0.48)
        add(limb(hip, knee, 0.19, 0.14), legs * shade)
        add(limb(knee, (foot, 0.06), 0.14, 0.10), legs * shade)
        add(
            limb((foot - 0.05 * side, 0.03), (foot + 0.16 * side, 0.03), 0.08),
            light.lit((36, 32, 32)),
        )
    swing = stride * rng.uniform(0.5, 1.0)
    add(limb((0.16, 1.38), (0.2 + swing * 0.6, 0.86), 0.12, 0.08), top * 0.78)
    if rng.random() < 0.25:  # a skirt or a long coat
        add(np.array([(-0.26, 0.55), (0.26, 0.55), (0.17, 1.0), (-0.17, 1.0)]), top * 0.85)
    add(
        np.array([(-0.16, 0.84), (0.16, 0.84), (0.22, 1.4), (0.1, 1.5), (-0.1, 1.5), (-0.22, 1.4)]),
        top,
    )
    add(np.array([(0.02, 0.84), (0.16, 0.84), (0.22, 1.4), (0.08, 1.48)]), top * 0.88, solid=False)
    add(limb((-0.17, 1.4), (-0.2 - swing * 0.6, 0.88), 0.12, 0.08), top * 0.92)
    add(disc((-0.2 - swing * 0.6, 0.84), 0.05, corners=8), skin)
    if rng.random() < 0.3:
        bag = light.lit(pick(rng, CLOTH, 0.3))
        add(box_shape(-0.32 * side - 0.1, 0.6, -0.32 * side + 0.12, 0.9), bag)
    add(box_shape(-0.05, 1.46, 0.05, 1.56), skin * 0.9)
    add(disc((0, 1.64), 0.105, 1.2, 12), skin)
    hair = disc((-0.02 * side, 1.68), 0.115, 1.05, 12)
    add(np.maximum(hair, [-1, 1.66]), light.lit(pick(rng, HAIR)))
    return thing


def person_group(rng: np.random.Generator, view: View, position: np.ndarray, count: int) -> Thing:
    """A group of people that cannot be separated."""
    group = Thing('person', float(position[2]), group=True)
    width = 0.42 * count
    for x in np.sort(rng.uniform(-width / 2, width / 2, count)):
        one = person(rng, view, position + [x, 0, rng.uniform(-0.3, 0.3)])
        group.patches.extend(one.patches)
    group.shadow = _shadow(view, position, 1.7, width / 2)
    return group


def bicycle(rng: np.random.Generator, view: View, position: np.ndarray, heading: float) -> Thing:
    """A bicycle of thin tubes. Like in CityScapes, pixels seen through its wheels are bicycle too."""
    plane = Plane(position, heading, rng.normal(0, 0.03))
    thing = Thing('bicycle', float(position[2]), shadow=_shadow(view, position, 0.8, 0.8))
    light = view.light
    frame = light.lit(pick(rng, CLOTH, 0.2))
    tyre, chrome = light.lit((24, 24, 26)), light.lit((150, 152, 156))
    rear, front, crank = (-0.52, 0.34), (0.54, 0.34), (-0.08, 0.3)
    saddle, head = (-0.2, 0.86), (0.38, 0.84)
    for hub in (rear, front):
        thing.add(plane(disc(hub, 0.34)), None)
        thing.add(plane(ring(hub, 0.35, 0.06)), tyre, solid=False)
        for angle in (0.3, 1.35, 2.4):
            spoke = 0.3 * np.array([np.cos(angle), np.sin(angle)])
            thing.add(plane(limb(hub - spoke, hub + spoke, 0.012)), chrome, solid=False)
    thing.add(plane(np.array([rear, crank, head, saddle])), None)
    tubes = (
        (rear, crank),
        (rear, saddle),
        (crank, saddle),
        (crank, head),
        (saddle, head),
        (head, front),
    )
    for start, end in tubes:
        thing.add(plane(limb(start, end, 0.055)), frame)
    thing.add(plane(limb(head, (0.34, 1.0), 0.04)), frame)
    thing.add(plane(limb((0.24, 1.02), (0.46, 0.98), 0.05)), tyre)
    thing.add(plane(limb((-0.34, 0.92), (-0.1, 0.9), 0.08, 0.05)), tyre)
    return thing


def motorcycle(rng: np.random.Generator, view: View, position: np.ndarray, heading: float) -> Thing:
    """A motorcycle or scooter: fat wheels, tank, seat, a lamp at each end."""
    plane = Plane(position, heading, rng.normal(0, 0.03))
    thing = Thing('motorcycle', float(position[2]), shadow=_shadow(view, position, 0.9, 1.0))
    light = view.light
    paint = light.lit(pick(rng, CLOTH, 0.2))
    black, chrome = light.lit((30, 30, 34)), light.lit((140, 142, 146))
    for hub in ((-0.68, 0.31), (0.7, 0.31)):
        thing.add(plane(disc(hub, 0.33)), black)
        thing.add(plane(disc(hub, 0.17, corners=10)), chrome, solid=False)
    thing.add(plane(np.array([(-0.4, 0.26), (0.34, 0.24), (0.46, 0.6), (-0.5, 0.62)])), black)
    thing.add(plane(disc((0.0, 0.42), 0.17, corners=10)), chrome, solid=False)
    thing.add(plane(limb((-0.2, 0.24), (-0.85, 0.3), 0.07, 0.12)), chrome)
    thing.add(
        plane(
            np.array(
                [(-0.9, 0.66), (-0.4, 0.56), (0.1, 0.6), (0.1, 0.76), (-0.42, 0.74), (-0.92, 0.84)]
            )
        ),
        paint,
    )
    thing.add(
        plane(np.array([(-0.05, 0.58), (0.5, 0.6), (0.56, 0.86), (0.3, 0.96), (0.0, 0.84)])), paint
    )
    thing.add(plane(limb((-0.55, 0.82), (0.02, 0.82), 0.12)), black)
    thing.add(plane(limb((0.72, 0.31), (0.46, 1.02), 0.09)), chrome)
    thing.add(plane(np.array([(0.44, 0.8), (0.66, 0.74), (0.6, 1.0), (0.46, 1.12)])), paint * 0.9)
    thing.add(plane(limb((0.3, 1.08), (0.52, 1.02), 0.06)), black)
    thing.add(plane(disc((0.64, 0.86), 0.09, corners=8)), light.lit((255, 246, 214)), solid=False)
    thing.add(plane(box_shape(-0.94, 0.7, -0.84, 0.82)), light.lit((210, 24, 26)), solid=False)
    return thing


def rider(
    rng: np.random.Generator, view: View, position: np.ndarray, heading: float, motor: bool
) -> List[Thing]:
    """A bicycle or motorcycle with its rider, returned in this order."""
    machine = (motorcycle if motor else bicycle)(rng, view, position, heading)
    plane = Plane(position, heading, rng.normal(0, 0.03))
    light = view.light
    # Slightly closer than the machine, so that the rider is painted over it.
    thing = Thing('rider', machine.depth - 1e-3, shadow=_shadow(view, position, 1.7, 0.4))
    skin, top, legs = (
        light.lit(pick(rng, SKIN)),
        light.lit(pick(rng, CLOTH)),
        light.lit(pick(rng, TROUSERS)),
    )
    hip = (-0.24, 0.92) if motor else (-0.22, 0.96)
    shoulder = (0.02, 1.44) if motor else (0.08, 1.46)
    foot = (0.12, 0.3) if motor else (rng.uniform(-0.2, 0.08), rng.uniform(0.14, 0.4))
    hand = (0.38, 1.06) if motor else (0.34, 1.02)
    knee = (0.22, 0.72)
    for offset, shade in ((0.06, 0.75), (0.0, 1.0)):
        ankle = (foot[0] + offset, 0.58 - foot[1]) if offset and not motor else foot
        thing.add(plane(limb(hip, knee, 0.22, 0.16)), legs * shade)
        thing.add(plane(limb(knee, ankle, 0.15, 0.1)), legs * shade)
        thing.add(
            plane(limb(ankle, (ankle[0] + 0.16, ankle[1] - 0.02), 0.09)), light.lit((36, 32, 32))
        )
    thing.add(plane(limb(hip, shoulder, 0.32, 0.38)), top)
    thing.add(
        plane(limb((hip[0] - 0.08, hip[1]), (shoulder[0] - 0.1, shoulder[1]), 0.12)),
        top * 0.85,
        solid=False,
    )
    elbow = (shoulder[0] + 0.2, shoulder[1] - 0.3)
    thing.add(plane(limb(shoulder, elbow, 0.13, 0.1)), top * 0.92)
    thing.add(plane(limb(elbow, hand, 0.1, 0.07)), top * 0.92)
    thing.add(plane(disc(hand, 0.05, corners=8)), skin)
    head = (shoulder[0] + 0.1, shoulder[1] + 0.24)
    thing.add(plane(limb(shoulder, head, 0.12)), skin * 0.9)
    # A head looks round from every side, so it always faces the camera.
    front = Plane(plane(head))
    thing.add(front(disc((0, 0), 0.115, 1.15, 12)), skin)
    helmet = disc((0, 0.03), 0.15 if motor else 0.13, 1.05, 12)
    thing.add(
        front(np.maximum(helmet, [-1, -0.12 if motor else 0.02])),
        light.lit(pick(rng, CLOTH, 0.2)),
    )
    if motor:
        visor = limb((0, 0), (0.13 * np.cos(heading), 0), 0.09)
        thing.add(front(visor), light.lit((40, 46, 54)), solid=False)
    return [machine, thing]


def _shadow(view: View, position: np.ndarray, height: float, half: float = 0.22) -> np.ndarray:
    foot = position + np.array(
        [(-half, 0, -0.12), (half, 0, -0.12), (half, 0, 0.12), (-half, 0, 0.12)]
    )
    return np.concatenate([foot, view.light.cast(foot, height)])
