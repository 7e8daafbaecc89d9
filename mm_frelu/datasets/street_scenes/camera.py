"""The pinhole camera that turns metres on the street into pixels.

World coordinates are in metres: x to the right, y up, z ahead of the car. The road surface is y = 0.
``bend`` shifts everything sideways with the square of the distance, like a curve of constant
radius. All lengths scale with the picture, so the same random numbers give the same scene at any
size.
"""

import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np

NEAR = 1.2  # metres; nothing closer than this is projected


@dataclass(frozen=True)
class Camera:
    """A forward-looking camera behind a windscreen.

    Attributes:
        size: Width and height of the picture in pixels.
        focal: Focal length in pixels.
        vanishing_point: Point where a straight road meets the horizon, in pixels.
        eye_height: Height above the road in metres.
        bend: Curvature of the road in 1/m; positive bends to the right.
        roll: Rotation of the camera about its axis in radians.
    """

    size: Tuple[int, int]
    focal: float
    vanishing_point: Tuple[float, float]
    eye_height: float
    bend: float
    roll: float

    @classmethod
    def sample(cls, rng: np.random.Generator, size: Tuple[int, int]) -> 'Camera':
        """Draws a camera for a picture of ``size`` (width, height)."""
        width, height = size
        return cls(
            size=size,
            focal=width * rng.uniform(0.82, 1.02),
            vanishing_point=(width * rng.uniform(0.36, 0.64), height * rng.uniform(0.38, 0.48)),
            eye_height=rng.uniform(1.5, 2.2),
            bend=rng.normal(0, 0.0012),
            roll=np.deg2rad(rng.normal(0, 0.6)),
        )

    @property
    def eye(self) -> np.ndarray:
        """Position of the camera in the world."""
        return np.array([0.0, self.eye_height, 0.0])

    def project(self, points: np.ndarray) -> np.ndarray:
        """Projects points (..., 3) in metres to positions (..., 2) in pixels."""
        x, y, z = points[..., 0], points[..., 1], np.maximum(points[..., 2], NEAR)
        scale = self.focal / z
        right = (x + self.bend * z * z) * scale
        down = (self.eye_height - y) * scale
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        pixels = np.empty((*points.shape[:-1], 2))
        pixels[..., 0] = self.vanishing_point[0] + cos * right - sin * down
        pixels[..., 1] = self.vanishing_point[1] + sin * right + cos * down
        return pixels

    def sees(self, corners: np.ndarray) -> bool:
        """Whether the outside of a flat piece with corners (n, 3) faces the camera.

        The corners run counter-clockwise as seen from outside.
        """
        pixels = self.project(corners).tolist()
        pairs = zip(pixels, pixels[1:] + pixels[:1])
        return sum(u0 * v1 - u1 * v0 for (u0, v0), (u1, v1) in pairs) < 0
