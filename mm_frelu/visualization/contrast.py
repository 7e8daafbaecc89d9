"""Change class colours that are hard to distinguish from another class.

Differences are CIEDE2000 (Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005). CityScapes' palette has ten pairs that are
too similar, among them car and truck, car and motorcycle, car and bus, bus and train, person and rider, fence and pole.
"""

import itertools
from functools import lru_cache
from typing import List, Tuple

import numpy as np

MERGE = 18.0
"""Two colours are too similar below this difference."""

APART = 22.0
"""Difference of a changed colour from all others, if such a colour exists; otherwise the difference is at least :data:`MERGE`."""

# From linear sRGB to XYZ, as shares of the white point D65.
_TO_XYZ = np.array(
    [
        (0.412453, 0.357580, 0.180423),
        (0.212671, 0.715160, 0.072169),
        (0.019334, 0.119193, 0.950227),
    ]
) / np.array([[0.95047], [1.0], [1.08883]])


def lab(colors: np.ndarray) -> np.ndarray:
    """Converts sRGB colours (0 to 255), shape (..., 3), to CIE L*a*b* (D65)."""
    share = np.asarray(colors, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    x, y, z = np.moveaxis(_lab_step(linear @ _TO_XYZ.T), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _lab_step(share: np.ndarray) -> np.ndarray:
    return np.where(share > (6 / 29) ** 3, np.cbrt(share), share * (29 / 6) ** 2 / 3 + 4 / 29)


def color_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns CIEDE2000 between L*a*b* colours. The shapes (..., 3) are broadcast. Variable names follow the paper."""
    l1, a1, b1 = np.moveaxis(first, -1, 0)
    l2, a2, b2 = np.moveaxis(second, -1, 0)
    c_mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    grey = c1 * c2 == 0
    dh = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    l_mean, c_mean = (l1 + l2) / 2, (c1 + c2) / 2
    h_mean = np.where(grey, h1 + h2, (h1 + dh / 2) % 360)
    t = (
        1
        - 0.17 * np.cos(np.radians(h_mean - 30))
        + 0.24 * np.cos(np.radians(2 * h_mean))
        + 0.32 * np.cos(np.radians(3 * h_mean + 6))
        - 0.20 * np.cos(np.radians(4 * h_mean - 63))
    )
    s_l = 1 + 0.015 * (l_mean - 50) ** 2 / np.sqrt(20 + (l_mean - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c_mean, 1 + 0.015 * c_mean * t
    turn = 30 * np.exp(-(((h_mean - 275) / 25) ** 2))
    r_c = 2 * np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7))
    r_t = -r_c * np.sin(np.radians(2 * turn))
    d_l, d_c, d_h = (l2 - l1) / s_l, (c2 - c1) / s_c, d_hue / s_h
    return np.sqrt(np.maximum(d_l**2 + d_c**2 + d_h**2 + r_t * d_c * d_h, 0))


def merging_pairs(palette: np.ndarray) -> List[Tuple[int, int]]:
    """Returns pairs of classes whose colours differ by less than :data:`MERGE`, the most similar first."""
    places = lab(palette)
    differences = color_difference(places[:, None], places[None])
    pairs = itertools.combinations(range(len(palette)), 2)
    close = [(differences[pair], pair) for pair in pairs if differences[pair] < MERGE]
    return [pair for _, pair in sorted(close)]


def moved_apart(palette: np.ndarray) -> np.ndarray:
    """Changes the colour of each class that is too similar to an earlier one; all others are unchanged.

    The new colour is the closest one that is far enough from all others. The result depends only on the palette, so a class has the
    same colour in all pictures. If there is no such colour, because there are too many classes, the colour is unchanged.

    Args:
        palette: ``uint8`` array (num_classes, 3).

    Returns:
        ``uint8`` array (num_classes, 3).
    """
    places, result = lab(palette), palette.copy()
    kept: List[int] = []
    moved: List[int] = []
    for index, place in enumerate(places):
        merges = bool(kept) and (color_difference(places[kept], place) < MERGE).any()
        (moved if merges else kept).append(index)
    candidates, candidate_places = _candidates()
    # Difference of each candidate from the closest used colour.
    gaps = np.full(len(candidates), np.inf)
    for index in kept:
        gaps = np.minimum(gaps, color_difference(candidate_places, places[index]))
    for index in moved:
        place = places[index]
        for far in (gaps >= APART, gaps >= MERGE):
            if far.any():
                detours = color_difference(candidate_places, place)
                choice = np.where(far, detours, np.inf).argmin()
                result[index], place = candidates[choice], candidate_places[choice]
                break
        gaps = np.minimum(gaps, color_difference(candidate_places, place))
    return result


@lru_cache(maxsize=1)
def _candidates() -> Tuple[np.ndarray, np.ndarray]:
    """Return the colours to choose from, and their L*a*b* values."""
    steps = np.arange(0, 256, 17)
    colors = np.array(list(itertools.product(steps, steps, steps)), dtype=np.uint8)
    places = lab(colors)
    # Leave out dark and grey colours, which are common in photographs.
    vivid = (places[:, 0] > 35) & (places[:, 0] < 90) & (np.hypot(*places[:, 1:].T) > 25)
    return colors[vivid], places[vivid]
