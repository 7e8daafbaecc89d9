"""Sky, road, lines, kerbs, sidewalks and grass, which are painted before all other things."""

from typing import Sequence, SupportsFloat, Tuple

import cv2
import numpy as np

from .camera import NEAR
from .canvas import Canvas
from .geometry import Patch, Thing
from .light import Color
from .noise import smooth_noise
from .street import FAR, LANE, Side, Street

_UP = np.array([0.0, 1.0, 0.0])


class Ground:
    """Paints the sky and the flat parts of a street.

    Args:
        canvas: The canvas to paint on.
        street: The cross-section.
        rng: Source of all variation.
    """

    def __init__(self, canvas: Canvas, street: Street, rng: np.random.Generator):
        self.canvas, self.street, self.rng = canvas, street, rng
        self.light = canvas.light
        # Denser towards the camera, where a metre is many pixels.
        self.stations = np.geomspace(NEAR, FAR, 24)

    def paint(self, rails: bool) -> None:
        """Paints sky, ground and road, farthest first. ``rails`` are in the lane of the guest vehicle."""
        rng = self.rng
        self.paint_sky()
        asphalt = np.array(
            [(92, 94, 98), (112, 110, 108), (76, 78, 84), (126, 122, 116)][rng.integers(4)]
        )
        paving = np.array(
            [(158, 152, 144), (138, 138, 138), (170, 158, 146), (150, 134, 126)][rng.integers(4)]
        )
        grass = np.array(
            [(98, 122, 62), (120, 130, 70), (140, 128, 84), (84, 112, 58)][rng.integers(4)]
        )
        left, right = self.street.edges
        self.strip('terrain', -120, 120, grass)
        for side in self.street.sides:
            self._paint_side(side, paving * rng.uniform(0.94, 1.06), grass * rng.uniform(0.9, 1.1))
        self.strip('road', left, right, asphalt)
        self._paint_wear(asphalt)
        if rails:
            self._paint_rails(asphalt)
        self._paint_lines()

    def paint_sky(self) -> None:
        """A gradient with clouds of smooth noise."""
        canvas, light = self.canvas, self.light
        width, height = size = canvas.camera.size
        horizon = canvas.camera.vanishing_point[1]
        climb = (
            np.clip(1 - np.arange(height, dtype=np.float32) / horizon, 0, 1)[:, None, None] ** 0.8
        )
        sky = light.horizon + (light.zenith - light.horizon) * climb
        clouds = smooth_noise(self.rng, size, cells=(5, 9))
        clouds = (clouds + 0.5 * smooth_noise(self.rng, size, cells=(14, 24)))[..., None]
        cover = np.clip((clouds - 0.9 + 1.5 * light.clouds) * 0.9, 0, 1) * (0.3 + 0.7 * climb)
        bright = np.minimum(246 * light.tint, 255)
        tops = bright * (0.86 + 0.14 * np.clip(clouds, 0, 1))
        sky = np.clip(sky + (tops - sky) * cover * 0.75, 0, 255).astype(np.uint8)
        canvas.pixels = cv2.resize(sky, canvas.pixels.shape[1::-1])
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
        canvas.mark('sky', [corners])

    def strip(
        self, label: str, left: float, right: float, color: Color, height: float = 0.0
    ) -> None:
        """A band between two signed x, cut into pieces so that haze and bends look right."""
        near, far = self.stations[:-1], self.stations[1:]
        columns = [(left, near), (right, near), (right, far), (left, far)]
        quads = np.stack(
            [np.stack([np.full_like(z, x), np.full_like(z, height), z], -1) for x, z in columns], 1
        )
        thing = Thing(label, depth=0.0)
        shaded = self.light.shade(color, _UP)
        for quad in quads[::-1]:
            thing.add(quad, shaded)
        self.canvas.paint(thing)

    def flat(self, quads: np.ndarray, color: np.ndarray) -> None:
        """Paints quads (k, 4, 3) that change no label, such as lane lines on the road."""
        if len(quads):
            self.canvas.draw([Patch(quads, color)])

    def rows(self, spans: Sequence[Tuple[SupportsFloat, ...]], height: float = 0.0) -> np.ndarray:
        """Quads (k, 4, 3) from tuples of left, right, near, far."""
        quads = [
            [(a, height, c), (b, height, c), (b, height, d), (a, height, d)] for a, b, c, d in spans
        ]
        return np.array(quads, float).reshape(-1, 4, 3)

    def _paint_side(self, side: Side, paving: np.ndarray, grass: np.ndarray) -> None:
        rng, sign = self.rng, side.sign
        inner, outer = sign * side.path[0], sign * side.path[1]
        if side.verge[1] > side.verge[0]:
            self.strip('terrain', sign * side.verge[0], sign * side.verge[1], grass, 0.1)
        self.strip('sidewalk', inner, outer, paving, 0.12)
        # Joints between the slabs distinguish a sidewalk from a road of the same grey.
        joint = self.light.shade(paving * 0.78, _UP)
        step = rng.uniform(0.8, 1.6)
        across = [(inner, outer, z, z + 0.05 + 0.002 * z) for z in np.arange(3.0, 32.0, step)]
        self.flat(self.rows(across, 0.12), joint)
        middle = [x - 0.02 for x in np.arange(side.path[0] + step, side.path[1] - 0.2, step)]
        near, far = self.stations[2:15], self.stations[3:16]
        along = [(sign * x, sign * x + 0.045, a, b) for x in middle for a, b in zip(near, far)]
        self.flat(self.rows(along, 0.12), joint)
        # The kerb stone: a light edge on top and a shaded face towards the road.
        kerb = sign * side.kerb
        stone = np.array([178, 174, 168]) * rng.uniform(0.85, 1.05)
        top = [
            (kerb, kerb + sign * 0.16, a, b) for a, b in zip(self.stations[:-1], self.stations[1:])
        ]
        edge = Thing('sidewalk', depth=0.0)
        facing = np.array([-sign, 0.0, 0.0])
        for x, _, near_z, far_z in reversed(top):
            face = np.array([(x, 0, near_z), (x, 0.12, near_z), (x, 0.12, far_z), (x, 0, far_z)])
            edge.add(face, self.light.shade(stone * 0.8, facing))
        edge.add(self.rows(top, 0.12), self.light.shade(stone, _UP))
        self.canvas.paint(edge)

    def _paint_wear(self, asphalt: np.ndarray) -> None:
        """Wheel tracks, repairs, cracks and covers."""
        rng = self.rng
        left, right = self.street.edges
        dark, pale = self.light.shade(asphalt * 0.9, _UP), self.light.shade(asphalt * 1.08, _UP)
        near, far = self.stations[:18], self.stations[1:19]
        tracks = [
            (x - 0.28, x + 0.28, a, b)
            for lane in self.street.lanes
            for x in (lane - 0.8, lane + 0.8)
            for a, b in zip(near, far)
        ]
        self.flat(self.rows(tracks), self.light.shade(asphalt * 0.955, _UP))
        for _ in range(rng.integers(1, 6)):
            x, z = rng.uniform(left, right - 1), rng.uniform(4, 30)
            patch = (x, min(x + rng.uniform(0.5, 2.2), right), z, z + rng.uniform(1, 6))
            self.flat(self.rows([patch]), dark if rng.random() < 0.6 else pale)
        for _ in range(rng.integers(0, 3)):
            ahead = np.linspace(rng.uniform(4, 8), rng.uniform(10, 24), 9)
            across = rng.uniform(left, right) + np.cumsum(rng.normal(0, 0.25, 9))
            edges = [
                (np.clip(across + shift, left, right), 0 * across, ahead) for shift in (0.0, 0.03)
            ]
            first, second = (np.stack(edge, -1) for edge in edges)
            crack = np.stack([first[:-1], second[:-1], second[1:], first[1:]], 1)
            self.flat(crack, self.light.shade(asphalt * 0.76, _UP))
        for _ in range(rng.integers(0, 3)):
            x, z = rng.uniform(left + 0.5, right - 0.5), rng.uniform(5, 20)
            angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
            cover = np.stack([x + 0.36 * np.cos(angle), np.zeros(14), z + 0.36 * np.sin(angle)], -1)
            self.flat(cover[None], self.light.shade(asphalt * 0.62, _UP))

    def _paint_lines(self) -> None:
        """Lane lines (dashed or solid), edge lines, an arrow and now and then a crossing."""
        rng, street = self.rng, self.street
        white = self.light.shade(np.array([238, 238, 232]) * rng.uniform(0.86, 1.0), _UP)
        yellow = self.light.shade((226, 180, 60), _UP)
        width, period = rng.uniform(0.12, 0.18), rng.uniform(4.5, 8)
        dash = period * rng.uniform(0.4, 0.6)
        start = rng.uniform(0, period)
        for first, second, a, b in zip(
            street.lanes, street.lanes[1:], street.oncoming, street.oncoming[1:]
        ):
            x = (first + second) / 2
            color = yellow if a != b and rng.random() < 0.25 else white
            if a != b and rng.random() < 0.35:
                self._solid_line(x - width, width, color)
                self._solid_line(x + width, width, color)
            else:
                spans = [
                    (x - width / 2, x + width / 2, max(z, NEAR), z + dash)
                    for z in np.arange(start - period + NEAR, 80, period).tolist()
                    if z + dash > NEAR
                ]
                self.flat(self.rows(spans), color)
        if rng.random() < 0.7:
            self._solid_line(street.lanes[0] - LANE / 2, width, white)
            self._solid_line(street.lanes[-1] + LANE / 2, width, white)
        left, right = street.edges
        if rng.random() < 0.3:
            z = rng.uniform(8, 20)
            bars = [(x, x + 0.5, z, z + 3.2) for x in np.arange(left + 0.3, right - 0.5, 1.0)]
            self.flat(self.rows(bars), white)
            self.flat(self.rows([(0 - LANE / 2, LANE / 2, z - 1.6, z - 1.2)]), white)
        elif rng.random() < 0.3:
            z = rng.uniform(7, 12)
            shaft = np.array([(-0.09, 0, z), (0.09, 0, z), (0.09, 0, z + 2.2), (-0.09, 0, z + 2.2)])
            tip = np.array(
                [(-0.4, 0, z + 2.2), (0.4, 0, z + 2.2), (0.0, 0, z + 4.0), (0.0, 0, z + 4.0)]
            )
            self.flat(np.stack([shaft, tip]), white)

    def _paint_rails(self, asphalt: np.ndarray) -> None:
        """Tram rails let into the road: label road, as in CityScapes where cars drive on them."""
        center = self.street.lanes[self.street.guest_lane]
        for x in (center - 0.72, center + 0.72):
            self._solid_line(x, 0.2, self.light.shade(asphalt * 0.7, _UP))
            self._solid_line(x, 0.07, self.light.shade((176, 178, 180), _UP))

    def _solid_line(self, x: float, width: float, color: np.ndarray) -> None:
        near, far = self.stations[:-3], self.stations[1:-2]
        self.flat(
            self.rows([(x - width / 2, x + width / 2, a, b) for a, b in zip(near, far)]), color
        )
