"""Compare label maps: errors, confusions, differences between models, and scores."""

from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

CORRECT, WRONG, IGNORED, SLIP = 0, 1, 2, 3

_BAND = 512

_SLIP_SHARE = 0.002
"""Tolerance at boundaries, as a share of the image's diagonal: 1 pixel for 256 x 128, 5 pixels for CityScapes' 2048 x 1024."""


class Scores(NamedTuple):
    """Scores of a prediction, all in 0..1; NaN if no pixel is labelled.

    Attributes:
        mean_iou: Mean IoU over the classes in the ground truth or in the prediction.
        accuracy: Share of the labelled pixels that are correct.
        class_ious: IoU of each class, (num_classes,); NaN for a class that is in neither.
    """

    mean_iou: float
    accuracy: float
    class_ious: np.ndarray

    @property
    def num_counted(self) -> int:
        """Number of classes in the mean."""
        return int(np.isfinite(self.class_ious).sum())


class Confusion(NamedTuple):
    """Pixels of one class that were predicted as another.

    Attributes:
        truth: Class in the ground truth.
        answer: Predicted class.
        share: Share of such pixels among all labelled pixels of the image.
    """

    truth: int
    answer: int
    share: float


def slip_radius(size: Tuple[int, int]) -> int:
    """Returns by how many pixels a boundary may be shifted in error maps, for an image of this (width, height)."""
    return max(round(_SLIP_SHARE * float(np.hypot(*size))), 1)


def error_map(
    prediction: np.ndarray, ground_truth: np.ndarray, ignore_index: int = 255
) -> np.ndarray:
    """Classifies every pixel as correct, wrong, or a slip: a boundary that is slightly shifted.

    A wrong pixel is a slip if, at most :func:`slip_radius` rows and columns away, the predicted class is in the ground truth and the
    true class is in the prediction. Both objects are found then, and only the boundary between them is shifted. A missing slender
    object is not a slip. Scores count slips as wrong.

    Args:
        prediction: Class ids, (H, W).
        ground_truth: Class ids or ``ignore_index``, (H, W).
        ignore_index: The label that means "not labelled".

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
    """Return the pixels of ``where`` whose label occurs in ``others`` at most ``radius`` rows and columns away."""
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    found = np.zeros(labels.shape, dtype=bool)
    for label in np.unique(labels[where]):
        reach = cv2.dilate((others == label).astype(np.uint8), square) > 0
        found |= where & (labels == label) & reach
    return found


def count_answers(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Counts the different predictions of the models for each pixel.

    Args:
        predictions: One array (H, W) of class ids for each model.

    Returns:
        ``uint8`` array (H, W), from 1 (all models agree) to the number of models.
    """
    ordered = np.sort(np.stack(predictions), axis=0)
    return (1 + (np.diff(ordered, axis=0) != 0).sum(axis=0)).astype(np.uint8)


def count_pairs(
    prediction: np.ndarray, ground_truth: np.ndarray, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """Computes the confusion matrix of the labelled pixels.

    Args:
        prediction: Class ids, (H, W).
        ground_truth: Class ids or ``ignore_index``, (H, W).
        num_classes: Number of classes.
        ignore_index: The label that means "not labelled".

    Returns:
        ``int64`` array (num_classes, num_classes); rows are the ground truth, columns the prediction.
    """
    counts = np.zeros(num_classes**2, dtype=np.int64)
    # In bands of rows, because the indices of the pairs take eight bytes per pixel.
    for top in range(0, len(prediction), _BAND):
        answers, truth = prediction[top : top + _BAND], ground_truth[top : top + _BAND]
        labelled = truth != ignore_index
        pairs = truth[labelled].astype(np.int64) * num_classes + answers[labelled]
        counts += np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def scores_of(counts: np.ndarray) -> Scores:
    """Computes mean IoU, pixel accuracy and IoU per class, as defined by MMSegmentation's ``IoUMetric``.

    Args:
        counts: Result of :func:`count_pairs`, or a sum of such results.

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
    """Computes the scores of one image, see :func:`scores_of`.

    Args:
        prediction: Class ids, (H, W).
        ground_truth: Class ids or ``ignore_index``, (H, W).
        num_classes: Number of classes.
        ignore_index: The label that means "not labelled".

    Returns:
        The scores.
    """
    return scores_of(count_pairs(prediction, ground_truth, num_classes, ignore_index))


def largest_confusions(
    prediction: np.ndarray, ground_truth: np.ndarray, states: np.ndarray, number: int = 3
) -> List[Confusion]:
    """Finds the most frequent confusions, without slips.

    Args:
        prediction: Class ids, (H, W).
        ground_truth: Class ids or the ignored label, (H, W).
        states: Result of :func:`error_map` for them.
        number: Maximum number of confusions to return.

    Returns:
        The confusions, largest first.
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
