"""Painting label maps over photographs, and bringing pictures to the size of a panel.

Labels are class numbers: they are never averaged. A map that must grow is repeated (nearest). A map that must shrink is
painted first, at its full size, and the painted colours are then averaged over the area that each new pixel covers. So a pole
of two pixels in a 2048 pixel wide scene stays visible as a thin line, where picking the nearest label would lose parts of it.
"""

from typing import Tuple

import numpy as np
from PIL import Image

from . import palette as colors
from .differences import IGNORED, WRONG

FADED = 0.3
"""Contrast that is left of the image below error and difference maps."""

ERROR_OPACITY = 0.7
"""Opacity of a class colour in an error map, over the grey image: what the object is stays visible."""

Size = Tuple[int, int]
"""Width and height in pixels."""


def blend(image: np.ndarray, painted: np.ndarray, opacity: float) -> np.ndarray:
    """Mixes two pictures: ``(1 - opacity) * image + opacity * painted``, rounded.

    Args:
        image: ``uint8`` array (H, W, 3).
        painted: ``uint8`` array (H, W, 3).
        opacity: From 0 (only the image) to 1 (only the painting).

    Returns:
        ``uint8`` array (H, W, 3).
    """
    mixed = (1 - opacity) * image.astype(np.float32) + opacity * painted.astype(np.float32)
    return mixed.round().astype(np.uint8)


def hatch(shape: Tuple[int, int], period: float) -> np.ndarray:
    """Diagonal light and grey stripes, the sign of pixels without a label.

    Args:
        shape: Height and width.
        period: Distance between two stripes along a row, in pixels.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    dark = ((rows + columns) % period) < period / 3
    return np.where(
        dark[..., None], np.uint8(colors.HATCH_DARK), np.uint8(colors.HATCH_LIGHT)
    ).astype(np.uint8)


def paint_labels(
    image: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    opacity: float,
    ignore_index: int = 255,
    hatch_period: float = 12,
) -> np.ndarray:
    """Paints every pixel in the colour of its class; pixels without a label are hatched.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        labels: Integer array (H, W) of class numbers, or ``ignore_index``.
        palette: ``uint8`` array (num_classes, 3).
        opacity: Opacity of the colours over the image; 1 hides the image.
        ignore_index: The label that stands for "not labelled".
        hatch_period: Distance between the stripes, in pixels.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    ignored = labels == ignore_index
    painted = palette[np.where(ignored, 0, labels)]
    picture = blend(image, painted, opacity)
    # Hatched pixels hide the image: mixed with it they would be taken for a texture of the scene.
    return np.where(ignored[..., None], hatch(labels.shape, hatch_period), picture)


def faded(image: np.ndarray, strength: float = FADED) -> np.ndarray:
    """A pale grey version of the image, as ground for the error and difference maps.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        strength: Contrast that is left, from 0 (white) to 1.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    grey = image.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])
    pale = 255 - strength * (255 - grey)
    return np.repeat(pale.round().astype(np.uint8)[..., None], 3, axis=2)


def paint_errors(ground: np.ndarray, states: np.ndarray, hatch_period: float = 12) -> np.ndarray:
    """Paints wrong pixels vermillion and hatches those without a label.

    Args:
        ground: ``uint8`` array (H, W, 3) that shows where pixels are correct.
        states: The result of :func:`~mm_frelu.visualization.error_map`, (H, W).
        hatch_period: Distance between the stripes, in pixels.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    picture = ground.copy()
    picture[states == WRONG] = colors.WRONG
    ignored = states == IGNORED
    picture[ignored] = hatch(states.shape, hatch_period)[ignored]
    return picture


def paint_disagreement(ground: np.ndarray, answers: np.ndarray, num_models: int) -> np.ndarray:
    """Paints the pixels on which the models differ, darker the more different answers there are.

    Args:
        ground: ``uint8`` array (H, W, 3) that shows where the models agree.
        answers: The result of :func:`~mm_frelu.visualization.count_answers`, (H, W).
        num_models: Number of models.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    painted = colors.difference_colors(num_models)[answers - 1]
    return np.where((answers > 1)[..., None], painted, ground)


def enlarge_labels(labels: np.ndarray, size: Size) -> np.ndarray:
    """Repeats labels so that the map fills ``size``, if that is larger; else returns it as it is.

    Args:
        labels: Array (H, W).
        size: Wanted width and height.

    Returns:
        Array (height, width) of the same type.
    """
    return nearest_labels(labels, size) if _grows(labels, size) else labels


def nearest_labels(labels: np.ndarray, size: Size) -> np.ndarray:
    """The label at the middle of each pixel of a map of another ``size``.

    Args:
        labels: Array (H, W).
        size: Wanted width and height.

    Returns:
        Array (height, width) of the same type.
    """
    width, height = size
    if labels.shape == (height, width):
        return labels
    rows = (np.arange(height) + 0.5) * labels.shape[0] / height
    columns = (np.arange(width) + 0.5) * labels.shape[1] / width
    return labels[rows.astype(int)[:, None], columns.astype(int)]


def enlarge_image(image: np.ndarray, size: Size) -> np.ndarray:
    """Bicubic enlargement to ``size``, if that is larger; else returns the image as it is.

    Args:
        image: ``uint8`` array (H, W, 3).
        size: Wanted width and height.

    Returns:
        ``uint8`` array (height, width, 3).
    """
    if not _grows(image, size):
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def shrink(picture: np.ndarray, size: Size) -> np.ndarray:
    """Reduces a painted picture to ``size``; each new pixel is the mean of the area it covers.

    Args:
        picture: ``uint8`` array (H, W, 3).
        size: Wanted width and height.

    Returns:
        ``uint8`` array (height, width, 3).
    """
    if picture.shape[1::-1] == tuple(size):
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _grows(array: np.ndarray, size: Size) -> bool:
    """Whether ``size`` has more pixels than ``array``; both have the same proportions but for rounding."""
    return size[0] * size[1] > array.shape[0] * array.shape[1]
