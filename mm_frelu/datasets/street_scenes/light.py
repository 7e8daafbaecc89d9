"""Weather and time of day: position of the sun, colours of the sky, and visibility."""

from dataclasses import dataclass
from typing import Tuple, Union

import numpy as np

Color = Union[Tuple[float, float, float], np.ndarray]  # red, green, blue in 0..255

# name: (sky above, sky at the horizon, tint of the light, ambient share, shadow strength, cloud
# cover)
_MOODS = {
    'clear': ((70, 125, 205), (190, 212, 232), (1.04, 1.01, 0.95), 0.55, 0.50, 0.35),
    'bright': ((120, 165, 215), (232, 238, 240), (1.08, 1.05, 0.98), 0.60, 0.42, 0.60),
    'overcast': ((168, 174, 182), (212, 214, 214), (0.94, 0.96, 1.00), 0.88, 0.10, 0.90),
    'haze': ((186, 192, 196), (226, 226, 220), (0.98, 0.98, 0.96), 0.80, 0.16, 0.50),
    'evening': ((92, 110, 160), (244, 198, 150), (1.08, 0.95, 0.80), 0.55, 0.36, 0.55),
    'dusk': ((58, 72, 110), (150, 148, 165), (0.74, 0.78, 0.92), 0.85, 0.08, 0.60),
}


@dataclass(frozen=True)
class Light:
    """The light of one scene.

    Attributes:
        sun: Unit vector towards the sun.
        ambient: Share of the light that does not depend on a surface's direction.
        tint: Factor on red, green and blue.
        shadow: How much a cast shadow darkens the ground, 0 to 1.
        zenith: Colour of the sky above.
        horizon: Colour of the sky at the horizon, and of things far away.
        visibility: Distance in metres at which haze replaces 63 % of a colour.
        clouds: Cloud cover, 0 to 1.
    """

    sun: np.ndarray
    ambient: float
    tint: np.ndarray
    shadow: float
    zenith: np.ndarray
    horizon: np.ndarray
    visibility: float
    clouds: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> 'Light':
        """Draws a mood and varies it."""
        mood = rng.choice(list(_MOODS), p=[0.26, 0.22, 0.20, 0.10, 0.14, 0.08])
        zenith, horizon, tint, ambient, shadow, clouds = _MOODS[mood]
        azimuth = rng.uniform(-np.pi, np.pi)
        elevation = np.deg2rad(rng.uniform(18, 30) if mood == 'evening' else rng.uniform(32, 65))
        sun = np.array(
            [
                np.sin(azimuth) * np.cos(elevation),
                np.sin(elevation),
                np.cos(azimuth) * np.cos(elevation),
            ]
        )
        return cls(
            sun=sun,
            ambient=ambient,
            tint=np.array(tint) * rng.uniform(0.9, 1.1) * rng.normal(1, 0.02, 3),
            shadow=shadow * rng.uniform(0.8, 1.2),
            zenith=np.array(zenith) + rng.normal(0, 8, 3),
            horizon=np.array(horizon) + rng.normal(0, 6, 3),
            visibility=rng.uniform(60, 110) if mood == 'haze' else rng.uniform(160, 400),
            clouds=clouds * rng.uniform(0.6, 1.1),
        )

    def shade(self, color: Color, normal: np.ndarray) -> np.ndarray:
        """The colour of a surface with the given unit normal."""
        diffuse = max(0.0, float(normal @ self.sun))
        sky_share = 0.9 + 0.1 * float(normal[1])
        return (
            np.asarray(color)
            * self.tint
            * (self.ambient * sky_share + (1 - self.ambient) * diffuse * 1.35)
        )

    def lit(self, color: Color) -> np.ndarray:
        """The colour of a surface without a direction, such as cloth or leaves."""
        return np.asarray(color) * self.tint * (self.ambient + (1 - self.ambient) * 0.7)

    def fade(self, color: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Mixes colours (k, 3) with the haze between them and the camera, at distances (k, 1)."""
        share = np.exp(-distance / self.visibility)
        return color * share + self.horizon * (1 - share)

    def cast(self, footprint: np.ndarray, height: float) -> np.ndarray:
        """Returns where the shadows of points ``height`` above the given ground points fall."""
        # Limit the length to twice the height: a very low sun would darken the whole street.
        slope = min(1 / max(float(self.sun[1]), 0.3), 2.0)
        return footprint - height * slope * self.sun * np.array([1.0, 0.0, 1.0])
