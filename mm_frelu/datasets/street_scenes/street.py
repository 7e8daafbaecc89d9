"""The cross-section of the street: width and position of each strip."""

from dataclasses import dataclass
from typing import Tuple

import numpy as np

LANE = 3.3  # metres
FAR = 130.0  # metres; the end of the street


@dataclass(frozen=True)
class Side:
    """One side of the street, from the kerb outwards.

    All positions are distances from the camera, always positive.

    Attributes:
        sign: -1 left, 1 right.
        kerb: Edge of the road.
        path: Inner and outer edge of the sidewalk.
        verge: Inner and outer edge of a strip of grass; equal where there is none.
        front: Position of buildings, walls and fences.
        parking: Whether cars park along the kerb.
    """

    sign: int
    kerb: float
    path: Tuple[float, float]
    verge: Tuple[float, float]
    front: float
    parking: bool


@dataclass(frozen=True)
class Street:
    """Lanes and both sides.

    Attributes:
        lanes: Centre of every lane as signed x; the camera drives in the lane at 0.
        oncoming: For every lane whether its traffic comes towards the camera.
        guest_lane: Index of the lane in which the rare vehicle of the scene drives.
        sides: Left and right.
        built_up: Share of the frontage that is buildings: a suburb at 0, a city centre at 1.
        busy: How dense the traffic is, 0 to 1.
    """

    lanes: Tuple[float, ...]
    oncoming: Tuple[bool, ...]
    guest_lane: int
    sides: Tuple[Side, Side]
    built_up: float
    busy: float

    @property
    def edges(self) -> Tuple[float, float]:
        """Signed x of the left and the right kerb."""
        return -self.sides[0].kerb, self.sides[1].kerb

    @classmethod
    def sample(cls, rng: np.random.Generator) -> 'Street':
        """Draws a street with two to four lanes and traffic on the right."""
        shift = rng.uniform(-0.4, 0.4)
        against, along = (
            int(rng.choice([1, 2], p=[0.75, 0.25])),
            int(rng.choice([0, 1], p=[0.7, 0.3])),
        )
        lanes = [shift + LANE * i for i in range(-against, along + 1)]
        sides = []
        for sign in (-1, 1):
            parking = bool(rng.random() < 0.5)
            road = sign * lanes[0 if sign < 0 else -1] + LANE / 2 + (2.1 if parking else 0.3)
            grass = rng.uniform(1.2, 3.4) if rng.random() < 0.55 else 0.0
            inside = bool(rng.random() < 0.5)  # the grass lies between kerb and sidewalk
            inner = road + (grass if inside else 0.0)
            outer = inner + rng.uniform(1.8, 3.4)
            verge = (road, inner) if inside else (outer, outer + grass)
            sides.append(
                Side(sign, road, (inner, outer), verge, max(outer, verge[1]) + 0.1, parking)
            )
        oncoming = tuple(i < against for i in range(len(lanes)))
        others = [i for i in range(len(lanes)) if i != against]
        # Straight ahead it would hide much of the street, so it is usually in another lane.
        guest_lane = against if rng.random() < 0.25 else int(rng.choice(others))
        return cls(
            lanes=tuple(lanes),
            oncoming=oncoming,
            guest_lane=guest_lane,
            sides=(sides[0], sides[1]),
            built_up=rng.uniform(0.1, 0.85),
            busy=rng.uniform(0.0, 1.0),
        )
