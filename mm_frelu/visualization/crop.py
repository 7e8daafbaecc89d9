"""Choose the part of an image to show: given by the user, or found where the models differ most (FReLU paper, Figure 4)."""

from typing import NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from . import overlay
from .differences import WRONG, count_answers, error_map

# Sizes of an automatic crop, as shares of the image's width and height. The window with the largest sum divided by the square root
# of its area is chosen. For a difference in one place that is the smallest size, for differences all over the image the largest.
_SHARES = (1 / 4, 1 / 3, 1 / 2)
_MIN_SIDE = 64

# An object is slender where a square with this share of the image's diagonal does not fit into it. Differences there have more weight.
_SLENDER_SHARE = 0.012
_SLENDER_WEIGHT = 4
# Weight of a window with one class, relative to one in which at least _ENOUGH_CLASSES classes share the area equally.
_DULL = 0.1
_ENOUGH_CLASSES = 4
# Classes are counted on maps reduced to this width or height.
_COUNTING_SIDE = 256


class Box(NamedTuple):
    """A rectangle in pixels.

    Attributes:
        x: Left edge.
        y: Top edge.
        width: Width.
        height: Height.
    """

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def from_text(cls, text: str) -> 'Box':
        """Parses ``x,y,w,h``.

        Args:
            text: Four integers, separated by commas.

        Returns:
            The box.

        Raises:
            ValueError: If there are not four integers, a corner is negative, or the box is empty.
        """
        try:
            numbers = [int(part) for part in text.split(',')]
        except ValueError:
            numbers = []
        if len(numbers) != 4 or min(numbers[:2]) < 0 or min(numbers[2:]) < 1:
            raise ValueError(
                f"A crop is 'auto' or x,y,w,h in whole pixels, for example 640,256,512,256; found {text!r}."
            )
        return cls(*numbers)

    def check_inside(self, image_size: Tuple[int, int]) -> None:
        """Raises ValueError if the box extends beyond an image of this (width, height)."""
        width, height = image_size
        if self.x + self.width > width or self.y + self.height > height:
            raise ValueError(
                f'The crop {self.x},{self.y},{self.width},{self.height} (x,y,w,h) extends beyond the image, which is '
                f'{width}x{height}: its right edge is {self.x + self.width}, its lower edge {self.y + self.height}.'
            )

    def enlarged(self, factor: int, image_size: Tuple[int, int]) -> 'Box':
        """Returns the same part of an image that is ``factor`` times as large, clipped to its (width, height)."""
        x, y, width, height = (number * factor for number in self)
        return Box(x, y, min(width, image_size[0] - x), min(height, image_size[1] - y))

    def cut(self, array: np.ndarray) -> np.ndarray:
        """Returns this part of an array (H, W, ...)."""
        return array[self.y : self.y + self.height, self.x : self.x + self.width]


def difference_density(
    predictions: Sequence[np.ndarray],
    ground_truth: Optional[np.ndarray] = None,
    ignore_index: int = 255,
) -> np.ndarray:
    """Computes the weight of each pixel for an automatic crop: where models differ or, for a single model, where it is wrong.

    With ground truth, only pixels count at which a model is wrong by more than a small shift of a boundary. Unlabelled pixels do not
    count, because predictions there are arbitrary (the ego vehicle's bonnet in CityScapes). Slender objects have more weight.

    Args:
        predictions: One array (H, W) of class ids for each model.
        ground_truth: Class ids or ``ignore_index``, (H, W).
        ignore_index: The label that means "not labelled".

    Returns:
        Array (H, W), larger where more answers differ; all zeros for one model without ground truth.
    """
    if len(predictions) == 1:
        density = np.zeros(predictions[0].shape, dtype=np.int64)
    else:
        density = count_answers(predictions).astype(np.int64) - 1
    if ground_truth is not None:
        states = [error_map(labels, ground_truth, ignore_index) for labels in predictions]
        wrong = np.any([state == WRONG for state in states], axis=0)
        if len(predictions) == 1:
            density = wrong.astype(np.int64)
        elif (wrong & (density > 0)).any():
            density[~wrong] = 0
        density[ground_truth == ignore_index] = 0
    if density.any():
        maps = predictions if ground_truth is None else [ground_truth]
        slender = np.any([_slender(labels) for labels in maps], axis=0)
        density[slender] *= _SLENDER_WEIGHT
    return density


def _slender(labels: np.ndarray) -> np.ndarray:
    """Return the pixels of objects into which a square of :data:`_SLENDER_SHARE` of the diagonal does not fit."""
    # The side is odd, because an even square would shift the result.
    side = 2 * max(round(_SLENDER_SHARE / 2 * float(np.hypot(*labels.shape))), 1) + 1
    square = np.ones((side, side), np.uint8)
    slender = np.zeros(labels.shape, dtype=bool)
    for label in np.unique(labels):
        own = (labels == label).astype(np.uint8)
        slender |= (own > 0) & (cv2.morphologyEx(own, cv2.MORPH_OPEN, square) == 0)
    return slender


def find_crop(density: np.ndarray, label_maps: Sequence[np.ndarray] = ()) -> Optional[Box]:
    """Finds the window with the most density and several classes. It has the aspect ratio of the image.

    Args:
        density: Integer array (H, W), from :func:`difference_density`.
        label_maps: Class ids (H, W), such as ground truth and predictions. Windows with a single class get little weight, even
            if their density is high.

    Returns:
        The window, or None if the density is zero everywhere or the image is too small to be cropped.
    """
    height, width = density.shape
    if not density.any():
        return None
    integral = np.pad(density, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    variety = _Variety(label_maps)
    best, best_score = None, 0.0
    for share in _SHARES:
        share = max(share, _MIN_SIDE / min(width, height))
        if share >= 1:
            continue
        size = (round(width * share), round(height * share))
        box, mass = _densest_window(integral, size, variety.of_windows(size, density.shape))
        score = mass / (size[0] * size[1]) ** 0.5
        if score > best_score:
            best, best_score = box, score
    return best


class _Variety:
    """Effective number of classes in windows of label maps: the exponential of the entropy of the classes over all maps."""

    def __init__(self, label_maps: Sequence[np.ndarray]) -> None:
        self.integrals = []
        if not label_maps:
            return
        height, width = label_maps[0].shape
        scale = min(_COUNTING_SIDE / max(height, width), 1)
        small = (max(round(width * scale), 1), max(round(height * scale), 1))
        reduced = np.stack([overlay.nearest_labels(labels, small) for labels in label_maps])
        for label in np.unique(reduced):
            count = (reduced == label).sum(axis=0)
            self.integrals.append(np.pad(count, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1))

    def of_windows(self, size: Tuple[int, int], shape: Tuple[int, int]) -> np.ndarray:
        """Returns a weight from :data:`_DULL` to 1 for each window of this (width, height) in an image of this shape."""
        if not self.integrals:
            return np.ones((1, 1))
        rows, columns = (side - 1 for side in self.integrals[0].shape)
        small = (
            max(round(size[0] * columns / shape[1]), 1),
            max(round(size[1] * rows / shape[0]), 1),
        )
        counts = np.stack([_window_sums(integral, *small) for integral in self.integrals])
        shares = counts / counts.sum(axis=0)
        entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=0)
        number = (np.exp(entropy) - 1) / (_ENOUGH_CLASSES - 1)
        factor = _DULL + (1 - _DULL) * np.minimum(number, 1)
        return overlay.nearest_labels(factor, (shape[1] - size[0] + 1, shape[0] - size[1] + 1))


def _densest_window(
    integral: np.ndarray, size: Tuple[int, int], variety: np.ndarray
) -> Tuple[Box, float]:
    """Return the window of ``size`` with the largest mass times variety, and that product.

    The middle of the window has more weight (the sums of the window, its middle half and its middle quarter are added), so that
    the object of interest is not in a corner. Of equal windows, the one closest to their mean position is chosen.
    """
    width, height = size
    weighted = np.zeros(())
    for part in (1.0, 0.5, 0.25):
        part_width, part_height = max(round(width * part), 1), max(round(height * part), 1)
        left, top = (width - part_width) // 2, (height - part_height) // 2
        sums = _window_sums(integral, part_width, part_height)
        rows, columns = integral.shape[0] - height, integral.shape[1] - width
        sums = sums[top : top + rows, left : left + columns]
        if part == 1.0:
            mass = sums * variety
        weighted = weighted + sums
    weighted = weighted * variety
    ties = np.argwhere(weighted == weighted.max())
    nearest = ((ties - ties.mean(axis=0)) ** 2).sum(axis=1).argmin()
    y, x = (int(number) for number in ties[nearest])
    return Box(x, y, width, height), float(mass[y, x])


def _window_sums(integral: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the sums over all windows of this size, from an integral image with a leading row and column of zeros."""
    return (
        integral[height:, width:]
        - integral[:-height, width:]
        - integral[height:, :-width]
        + integral[:-height, :-width]
    )
