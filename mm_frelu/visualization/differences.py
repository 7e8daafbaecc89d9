"""Where a prediction is wrong, where models differ, and how well a prediction does on one image."""

from typing import NamedTuple, Sequence

import numpy as np

CORRECT, WRONG, IGNORED = 0, 1, 2


class Scores(NamedTuple):
    """How well a prediction does on one image, both in 0..1; NaN when no pixel is labelled."""

    mean_iou: float
    accuracy: float


def error_map(
    prediction: np.ndarray, ground_truth: np.ndarray, ignore_index: int = 255
) -> np.ndarray:
    """Tells for every pixel whether the prediction is right.

    Args:
        prediction: Class numbers, (H, W).
        ground_truth: Class numbers or ``ignore_index``, (H, W).
        ignore_index: The label that stands for "not labelled".

    Returns:
        ``uint8`` array (H, W) of ``CORRECT``, ``WRONG`` and ``IGNORED``.
    """
    states = np.where(prediction == ground_truth, CORRECT, WRONG).astype(np.uint8)
    states[ground_truth == ignore_index] = IGNORED
    return states


def count_answers(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Counts the different answers that the models give for each pixel.

    Args:
        predictions: One array (H, W) of class numbers for each model.

    Returns:
        ``uint8`` array (H, W); 1 where all models agree, up to the number of models.
    """
    ordered = np.sort(np.stack(predictions), axis=0)
    return (1 + (np.diff(ordered, axis=0) != 0).sum(axis=0)).astype(np.uint8)


def image_scores(
    prediction: np.ndarray, ground_truth: np.ndarray, num_classes: int, ignore_index: int = 255
) -> Scores:
    """Mean IoU and pixel accuracy on one image, as MMSegmentation's ``IoUMetric`` defines them.

    The mean is taken over the classes that the ground truth or the prediction holds; pixels without a label do not count.

    Args:
        prediction: Class numbers, (H, W).
        ground_truth: Class numbers or ``ignore_index``, (H, W).
        num_classes: Number of classes.
        ignore_index: The label that stands for "not labelled".

    Returns:
        Mean IoU and pixel accuracy.
    """
    labelled = ground_truth != ignore_index
    pairs = ground_truth[labelled].astype(np.int64) * num_classes + prediction[labelled]
    confusion = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    hits = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    if not union.any():
        return Scores(float('nan'), float('nan'))
    present = union > 0
    return Scores(
        float((hits[present] / union[present]).mean()), float(hits.sum() / confusion.sum())
    )
