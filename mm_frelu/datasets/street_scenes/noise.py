"""Smooth random fields that look the same at every picture size."""

from typing import Tuple

import cv2
import numpy as np


def smooth_noise(
    rng: np.random.Generator, size: Tuple[int, int], cells: Tuple[int, int]
) -> np.ndarray:
    """Random values on a coarse grid, interpolated.

    Args:
        rng: Source of the values. Their number does not depend on the picture size.
        size: Width and height of the result.
        cells: Columns and rows of the grid, in this order.

    Returns:
        float32 array (height, width) with values of about unit variance at the grid points.
    """
    grid = rng.standard_normal((cells[1], cells[0])).astype(np.float32)
    shrinks = cells[0] > size[0]
    return cv2.resize(grid, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
