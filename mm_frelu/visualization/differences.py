"""Where a prediction is wrong and what was taken for what, where models differ, and how well a prediction does."""

from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

CORRECT, WRONG, IGNORED, SLIP = 0, 1, 2, 3

_BAND = 512

_SLIP_SHARE = 0.002
"""Of the image's diagonal: 1 pixel of 256 x 128, 5 of CityScapes' 2048 x 1024."""


class Scores(NamedTuple):
    """How well a prediction does, all in 0..1; NaN where no pixel is labelled.

    Attributes:
        mean_iou: Mean of the IoUs of the classes that ground truth or prediction hold.
        accuracy: Share of the labelled pixels that are right.
        class_ious: IoU of each class, (num_classes,); NaN for a class that neither holds.
    """

    mean_iou: float
    accuracy: float
    class_ious: np.ndarray

    @property
    def num_counted(self) -> int:
        """Number of classes in the mean."""
        return int(np.isfinite(self.class_ious).sum())


class Confusion(NamedTuple):
    """Pixels of one class that were taken for another.

    Attributes:
        truth: Class of the ground truth.
        answer: Class that was predicted.
        share: Such pixels, of all labelled ones of the image.
    """

    truth: int
    answer: int
    share: float


def slip_radius(size: Tuple[int, int]) -> int:
    """How far a boundary may be off before it counts as wrong in error maps, in pixels of an image of this (width, height)."""
    return max(round(_SLIP_SHARE * float(np.hypot(*size))), 1)


def error_map(
    prediction: np.ndarray, ground_truth: np.ndarray, ignore_index: int = 255
) -> np.ndarray:
    """Tells for every pixel whether the prediction is right, and boundaries that are slightly off from what is wrong.

    A wrong pixel is a slip when, at most :func:`slip_radius` rows and columns away, the class that was predicted is true, and the
    class that is true was predicted: both objects are there, and only the edge between them is drawn elsewhere. A slender object that
    is missing is no slip. Scores make no such difference.

    Args:
        prediction: Class numbers, (H, W).
        ground_truth: Class numbers or ``ignore_index``, (H, W).
        ignore_index: The label that stands for "not labelled".

    Returns:
        ``uint8`` array (H, W) of ``CORRECT``, ``WRONG``, ``SLIP`` and ``IGNORED``.
    """
    states = np.where(prediction == ground_truth, CORRECT, WRONG).astype(np.uint8)
    states[ground_truth == ignore_index] = IGNORED
    wrong = states == WRONG
    radius = slip_radius(prediction.shape[1::-1])
    near = _near(prediction, ground_truth, wrong, radius)
    states[near & _near(ground_truth, prediction, wrong, radius)] = SLIP
    return states


def _near(labels: np.ndarray, others: np.ndarray, where: np.ndarray, radius: int) -> np.ndarray:
    """Pixels of ``where`` whose label is among those that ``others`` has at most ``radius`` rows and columns away."""
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    found = np.zeros(labels.shape, dtype=bool)
    for label in np.unique(labels[where]):
        reach = cv2.dilate((others == label).astype(np.uint8), square) > 0
        found |= where & (labels == label) & reach
    return found


def count_answers(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Counts the different answers that the models give for each pixel.

    Args:
        predictions: One array (H, W) of class numbers for each model.

    Returns:
        ``uint8`` array (H, W); 1 where all models agree, up to the number of models.
    """
    ordered = np.sort(np.stack(predictions), axis=0)
    return (1 + (np.diff(ordered, axis=0) != 0).sum(axis=0)).astype(np.uint8)


def count_pairs(
    prediction: np.ndarray, ground_truth: np.ndarray, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """Counts the labelled pixels by what they are and what was predicted.

    Args:
        prediction: Class numbers, (H, W).
        ground_truth: Class numbers or ``ignore_index``, (H, W).
        num_classes: Number of classes.
        ignore_index: The label that stands for "not labelled".

    Returns:
        ``int64`` array (num_classes, num_classes); rows are the ground truth, columns the prediction.
    """
    counts = np.zeros(num_classes**2, dtype=np.int64)
    # In bands of rows: the numbers of the pairs take eight bytes for each pixel.
    for top in range(0, len(prediction), _BAND):
        answers, truth = prediction[top : top + _BAND], ground_truth[top : top + _BAND]
        labelled = truth != ignore_index
        pairs = truth[labelled].astype(np.int64) * num_classes + answers[labelled]
        counts += np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def scores_of(counts: np.ndarray) -> Scores:
    """Mean IoU, pixel accuracy and IoU by class, as MMSegmentation's ``IoUMetric`` defines them.

    Args:
        counts: The result of :func:`count_pairs`, or a sum of such results.

    Returns:
        The scores.
    """
    hits = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hits
    if not union.any():
        return Scores(float('nan'), float('nan'), np.full(len(counts), np.nan))
    ious = np.divide(hits, union, out=np.full(len(counts), np.nan), where=union > 0)
    return Scores(float(np.nanmean(ious)), float(hits.sum() / counts.sum()), ious)


def image_scores(
    prediction: np.ndarray, ground_truth: np.ndarray, num_classes: int, ignore_index: int = 255
) -> Scores:
    """Compute :func:`scores_of` one image.

    Args:
        prediction: As in :func:`count_pairs`.
        ground_truth: As there.
        num_classes: As there.
        ignore_index: As there.

    Returns:
        The scores.
    """
    return scores_of(count_pairs(prediction, ground_truth, num_classes, ignore_index))


def largest_confusions(
    prediction: np.ndarray, ground_truth: np.ndarray, states: np.ndarray, number: int = 3
) -> List[Confusion]:
    """What was most often taken for what, without the slips of boundaries.

    Args:
        prediction: Class numbers, (H, W).
        ground_truth: Class numbers or the label of pixels without one, (H, W).
        states: The result of :func:`error_map` for them.
        number: How many to return at most.

    Returns:
        The largest first.
    """
    wrong = states == WRONG
    labelled = np.count_nonzero(states != IGNORED)
    pairs = (ground_truth[wrong].astype(np.int64) << 16) + prediction[wrong]
    found, counts = np.unique(pairs, return_counts=True)
    first = np.argsort(-counts, kind='stable')[:number]
    return [
        Confusion(int(found[i] >> 16), int(found[i] & 0xFFFF), float(counts[i] / labelled))
        for i in first
    ]
