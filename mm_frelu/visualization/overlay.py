"""Paint label maps over images, and resize pictures to the size of a panel.

Labels are class ids and are never averaged. To enlarge a label map, its pixels are repeated (nearest). To reduce a map, it is painted at
full size first, and then the colours are averaged over the area of each new pixel. A pole of two pixels in a 2048 pixel wide image
therefore stays visible as a thin line; nearest-neighbour reduction would lose parts of it.
"""

from typing import Tuple

import cv2
import numpy as np
from PIL import Image

from . import palette as colors
from .differences import IGNORED, SLIP, WRONG

FADED = 0.3
"""Remaining contrast of the image below error and difference maps."""

ERROR_OPACITY = 0.7
"""Opacity of a class colour in an error map, over the grey image. The object remains recognisable."""

Size = Tuple[int, int]
"""Width and height in pixels."""


def grey_of(image: np.ndarray) -> np.ndarray:
    """Returns the luma of an RGB image, ``float32`` of shape (H, W, 1)."""
    return (image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]


def tint(image: np.ndarray, painted: np.ndarray, opacity: float) -> np.ndarray:
    """Blends colours with an image: ``opacity * painted + (1 - opacity) * ground``.

    The ground is a partly greyed image, ``opacity * grey + (1 - opacity) * image``. Without this, a green bus below a blue class
    would give a colour that is not in the legend.

    Args:
        image: ``uint8`` array (H, W, 3).
        painted: ``uint8`` array (H, W, 3).
        opacity: From 0 (only the image) to 1 (only the painting).

    Returns:
        ``uint8`` array (H, W, 3).
    """
    ground = opacity * grey_of(image) + (1 - opacity) * image.astype(np.float32)
    mixed = opacity * painted.astype(np.float32) + (1 - opacity) * ground
    return mixed.round().astype(np.uint8)


def outlines(labels: np.ndarray, width: int) -> np.ndarray:
    """Returns the pixels that have another label at most ``width`` pixels away.

    Args:
        labels: Integer array (H, W), up to 65535.
        width: In pixels; 0 for no outlines.

    Returns:
        Boolean array (H, W).
    """
    if width < 1:
        return np.zeros(labels.shape, dtype=bool)
    labels = labels.astype(np.uint16)
    # A cross for the thinnest line, because corners would make it look twice as wide.
    shape = cv2.MORPH_CROSS if width == 1 else cv2.MORPH_ELLIPSE
    disk = cv2.getStructuringElement(shape, (2 * width + 1, 2 * width + 1))
    return (cv2.dilate(labels, disk) != labels) | (cv2.erode(labels, disk) != labels)


def hatch(shape: Tuple[int, int], period: float) -> np.ndarray:
    """Returns diagonal light and grey stripes, which mark unlabelled pixels.

    Args:
        shape: Height and width.
        period: Distance between two stripes along a row, in pixels.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    dark = ((rows + columns) % period) < period / 3
    return np.where(
        dark[..., None],
        np.array(colors.HATCH_DARK, np.uint8),
        np.array(colors.HATCH_LIGHT, np.uint8),
    ).astype(np.uint8)


def paint_labels(
    image: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    opacity: float,
    ignore_index: int = 255,
    hatch_period: float = 12,
    outline: int = 0,
) -> np.ndarray:
    """Paints every pixel in the colour of its class. Unlabelled pixels are hatched.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        labels: Integer array (H, W) of class ids, or ``ignore_index``.
        palette: ``uint8`` array (num_classes, 3).
        opacity: Opacity of the colours over the image; 1 hides the image.
        ignore_index: The label that means "not labelled".
        hatch_period: Distance between the stripes, in pixels.
        outline: Width in pixels of an opaque outline of each area, in the colour of the class. It shows the exact colour of the
            legend; slender objects consist of it entirely.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    ignored = labels == ignore_index
    painted = palette[np.where(ignored, 0, labels)]
    picture = tint(image, painted, opacity)
    edge = outlines(labels, outline)
    picture[edge] = painted[edge]
    # Hatching hides the image. Blended with it, it could look like a texture in the image.
    return np.where(ignored[..., None], hatch(labels.shape, hatch_period), picture)


def faded(image: np.ndarray, strength: float = FADED) -> np.ndarray:
    """Returns a pale grey version of the image, as background of error and difference maps.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        strength: Remaining contrast, from 0 (white) to 1.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    pale = 255 - strength * (255 - grey_of(image))
    return np.repeat(pale.round().astype(np.uint8), 3, axis=2)


def paint_errors(
    image: np.ndarray,
    states: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    opacity: float = ERROR_OPACITY,
    hatch_period: float = 12,
    outline: int = 0,
) -> np.ndarray:
    """Paints wrong pixels in the colour of the predicted class, over the grey image.

    Shifted boundaries are pale, and unlabelled pixels are hatched. Correct pixels show the faded image.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        states: The result of :func:`~mm_frelu.visualization.error_map`, (H, W).
        labels: The predicted class ids, (H, W).
        palette: ``uint8`` array (num_classes, 3).
        opacity: Opacity of the colours; 1 hides the image in the whole map.
        hatch_period: Distance between the stripes, in pixels.
        outline: Width of the line around wrong areas, in pixels.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    plain = np.full_like(image, colors.CORRECT[0])
    picture = plain if opacity == 1 else faded(image)
    wrong = states == WRONG
    picture[states == SLIP] = colors.SLIP
    mixed = opacity * palette[labels[wrong]] + (1 - opacity) * grey_of(image[wrong][None])[0]
    picture[wrong] = mixed.round().astype(np.uint8)
    picture[wrong & outlines(wrong, outline)] = colors.WRONG
    ignored = states == IGNORED
    picture[ignored] = hatch(states.shape, hatch_period)[ignored]
    return picture


def paint_disagreement(
    image: np.ndarray, answers: np.ndarray, num_models: int, opacity: float = ERROR_OPACITY
) -> np.ndarray:
    """Paints the pixels on which the models differ. More different answers give a darker colour.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        answers: The result of :func:`~mm_frelu.visualization.count_answers`, (H, W).
        num_models: Number of models.
        opacity: Opacity of the colours; 1 hides the image in the whole map.

    Returns:
        ``uint8`` array (H, W, 3).
    """
    painted = colors.difference_colors(num_models)[answers - 1]
    if opacity == 1:
        return painted
    mixed = (opacity * painted + (1 - opacity) * grey_of(image)).round().astype(np.uint8)
    return np.where((answers > 1)[..., None], mixed, faded(image))


def nearest_labels(labels: np.ndarray, size: Size) -> np.ndarray:
    """Resizes a label map by taking the label at the centre of each new pixel.

    Args:
        labels: Array (H, W).
        size: New width and height.

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
    """Enlarges an image to ``size`` with bicubic interpolation. An image that is not smaller is returned unchanged.

    Args:
        image: ``uint8`` array (H, W, 3).
        size: New width and height.

    Returns:
        ``uint8`` array (height, width, 3).
    """
    if not _grows(image, size):
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def shrink(picture: np.ndarray, size: Size) -> np.ndarray:
    """Reduces a painted picture to ``size``. Each new pixel is the mean of the area it covers.

    Args:
        picture: ``uint8`` array (H, W, 3).
        size: New width and height.

    Returns:
        ``uint8`` array (height, width, 3).
    """
    if picture.shape[1::-1] == tuple(size):
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def fit_image(image: np.ndarray, size: Size) -> np.ndarray:
    """Resizes an image with :func:`enlarge_image` or :func:`shrink`."""
    return shrink(enlarge_image(image, size), size)


def limited(size: Size, side: int) -> Size:
    """Scales width and height down, at the same aspect ratio, so that the longer one is at most ``side``."""
    scale = min(side / max(size), 1)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _grows(array: np.ndarray, size: Size) -> bool:
    """Whether ``size`` has more pixels than ``array``. Both have the same aspect ratio, except for rounding."""
    return size[0] * size[1] > array.shape[0] * array.shape[1]
