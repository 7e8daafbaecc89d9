"""Turn the painted picture into a photograph: surface grain, exposure, lens and sensor noise."""

from typing import Sequence

import cv2
import numpy as np

from .canvas import Region
from .noise import smooth_noise

# How much brightness varies on a surface: grain of about a pixel at 512 x 256, and blotches ten
# times as wide.
_GRAIN = {
    'road': (0.030, 0.030),
    'sidewalk': (0.030, 0.030),
    'building': (0.022, 0.035),
    'wall': (0.040, 0.050),
    'fence': (0.030, 0.020),
    'pole': (0.015, 0.015),
    'vegetation': (0.110, 0.060),
    'terrain': (0.075, 0.060),
    'sky': (0.000, 0.008),
}
_GRAIN_OF_THINGS = (0.015, 0.015)


def expose(
    rng: np.random.Generator, picture: np.ndarray, owners: np.ndarray, regions: Sequence[Region]
) -> np.ndarray:
    """Turns painted colours into what a camera records.

    Args:
        rng: Source of all variation.
        picture: Painted colours, float32 (height, width, 3) in 0..255.
        owners: For every pixel the index of its region plus one, 0 if there is none.
        regions: The regions of the scene.

    Returns:
        uint8 picture (height, width, 3), red first.
    """
    height, width = owners.shape
    size = (width, height)
    strength = [
        np.array(_GRAIN.get(region.label, _GRAIN_OF_THINGS)) * np.exp(-region.depth / 60)
        for region in regions
    ]
    amount = np.array([(0.0, 0.0), *strength], np.float32)
    grain = smooth_noise(rng, size, cells=(512, 256))
    blotches = smooth_noise(rng, size, cells=(48, 24))
    picture = picture * (1 + amount[owners, 0] * grain + amount[owners, 1] * blotches)[..., None]

    exposure = rng.uniform(0.84, 1.14) * rng.normal(1, 0.03, 3)
    contrast = rng.uniform(0.88, 1.12)
    x, y = (
        np.linspace(-1, 1, width, dtype=np.float32),
        np.linspace(-1, 1, height, dtype=np.float32)[:, None],
    )
    vignette = 1 - rng.uniform(0.03, 0.16) * (x**2 + y**2)
    picture = (picture * exposure - 118) * contrast + 118
    picture = picture * vignette[..., None]

    blur = max(0.0, rng.uniform(-0.3, 0.6)) * width / 512
    if blur > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    # Sensor noise belongs to pixels, not to the scene. It is drawn last, because its number of
    # values depends on the size.
    picture += rng.standard_normal((height, width, 1), np.float32) * rng.uniform(0.5, 3.0)
    picture += rng.standard_normal((height, width, 3), np.float32) * rng.uniform(0.3, 1.5)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
