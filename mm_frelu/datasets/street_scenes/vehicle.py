"""Common parts of all vehicles: rotated boxes, glass, lamps, wheels and a shadow."""

from typing import Dict, Mapping, Sequence, Tuple

import numpy as np

from .geometry import Face, Thing, block, disc, place
from .light import Color
from .solids import View

PAINT: Tuple[Color, ...] = (
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
GLASS: Color = (44, 54, 64)
RUBBER: Color = (26, 26, 28)

_LAMPS = (('rear', (214, 22, 24)), ('front', (255, 248, 220)))

Rectangle = Tuple[float, float, float, float, float]  # left, right, rear, front, height in metres


class Vehicle:
    """Builder of a vehicle. Its coordinates are right, up and ahead of its centre.

    Args:
        label: CityScapes label name.
        view: Camera and light.
        position: Middle of the vehicle on the road.
        yaw: 0 drives away from the camera, pi towards it.
        length: Metres.
        half: Half the width in metres.
        height: Metres.
    """

    def __init__(
        self,
        label: str,
        view: View,
        position: np.ndarray,
        yaw: float,
        length: float,
        half: float,
        height: float,
    ):
        self.view, self.position, self.yaw, self.half = view, position, yaw, half
        rear, front = -length / 2, length / 2
        corners = np.array([(-half, 0, rear), (half, 0, rear), (half, 0, front), (-half, 0, front)])
        footprint = self.place(corners)
        self.thing = Thing(
            label,
            depth=float(footprint[:, 2].min()),
            shadow=np.concatenate([footprint, view.light.cast(footprint, height * 0.9)]),
            footprint=footprint,
        )

    def place(self, points: np.ndarray) -> np.ndarray:
        """Maps points of the vehicle (..., 3) to world coordinates."""
        return place(points, self.position, self.yaw)

    def add_block(self, low: Rectangle, high: Rectangle, color: Color) -> Dict[str, Face]:
        """Paints a box between two rectangles, and returns the visible sides by name."""
        sides = {name: Face(self.place(side.corners)) for name, side in block(low, high).items()}
        return self.view.paint_block(self.thing, sides, color)

    def add_panes(
        self,
        face: Face,
        columns: Sequence[Tuple[float, float]],
        row: Tuple[float, float],
        glare: float = 0.6,
    ) -> None:
        """Paints panes of glass whose upper part reflects the sky.

        Args:
            face: Side that has the panes.
            columns: Left and right edge of each, 0 to 1.
            row: Lower and upper edge, 0 to 1.
            glare: Height in a pane at which the reflection starts, 0 to 1.
        """
        glass = self.view.light.shade(GLASS, face.normal)
        low, high = row
        self.thing.add(face.grid(columns, [row]), glass, solid=False)
        upper = [(low + glare * (high - low), high)]
        self.thing.add(face.grid(columns, upper), glass + 32, solid=False)

    def add_detail(self, points: np.ndarray, color: Color, face: Face) -> None:
        """Paints a detail on a side, with the light of that side."""
        self.thing.add(points, self.view.light.shade(color, face.normal), solid=False)

    def add_lamps(self, sides: Mapping[str, Face], low: float, high: float) -> None:
        """Paints two lamps and a number plate on each end in ``sides``, between two heights."""
        for name, color in _LAMPS:
            if name in sides:
                face = sides[name]
                lamps = face.grid([(0.04, 0.2), (0.8, 0.96)], [(low, high)])
                self.thing.add(lamps, self.view.light.lit(color) + 12, solid=False)
                plate = face.rectangle(0.38, low * 0.4, 0.62, low * 0.4 + 0.14)
                self.add_detail(plate, (236, 236, 230), face)

    def add_tyres(self, radius: float, axles: Sequence[float]) -> None:
        """Paints tyres seen from the end. The body, painted later, covers all but their lower parts."""
        black = self.view.light.lit(RUBBER)
        for z in (min(axles), max(axles)):
            for x in (-self.half + 0.03, self.half - 0.25):
                upright = [(x, 0, z), (x + 0.22, 0, z), (x + 0.22, radius, z), (x, radius, z)]
                self.thing.add(self.place(np.array(upright)), black)

    def add_wheels(self, sides: Mapping[str, Face], radius: float, axles: Sequence[float]) -> None:
        """Paints wheels on each long side in ``sides``."""
        light = self.view.light
        for name, x in (('left', -self.half - 0.01), ('right', self.half + 0.01)):
            for z in axles if name in sides else ():
                for share, color in ((1.0, RUBBER), (0.58, (128, 130, 134)), (0.2, (60, 62, 66))):
                    circle = disc((z, radius), radius * share, corners=18)
                    points = np.insert(circle[:, ::-1], 0, x, axis=1)
                    self.thing.add(self.place(points), light.lit(color), solid=share == 1.0)
