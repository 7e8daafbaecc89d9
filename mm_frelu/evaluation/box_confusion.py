"""Confusion matrix of a detector, in which every true box and every detection counts once."""

import numpy as np

from .boxes import Detections, TrueBoxes, overlaps
from .outcomes import Outcome, outcomes_of


def box_confusion(
    detections: Detections, truth: TrueBoxes, num_classes: int, hit_iou: float
) -> np.ndarray:
    """Count the pairs of true and predicted class in one image.

    Detections are first matched to true boxes of their own class (the hits of AP). The remaining detections, in the order of
    their scores, are then matched to the unmatched box of any class with the largest overlap of at least ``hit_iou``.
    Unmatched boxes and detections count as background. Therefore each row sums to the number of true boxes of a class, and
    each column to the number of its detections. mmdet's tool counts a box once for each detection that overlaps it, so its
    rows do not.

    Args:
        detections: Detections above the threshold.
        truth: The annotations. Crowds, and detections in them, are not counted.
        num_classes: Number of classes.
        hit_iou: Smallest IoU at which a detection matches a box.

    Returns:
        Integers (num_classes + 1, num_classes + 1): rows are true classes, columns are predicted classes. The last of both is
        background.
    """
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    outcomes = outcomes_of(detections, truth, hit_iou, min(hit_iou, 0.1))
    iou = overlaps(detections.boxes, truth.boxes, truth.crowd)
    free = ~outcomes.found & ~truth.crowd
    for index, label in enumerate(detections.labels):
        if outcomes.kinds[index] == Outcome.HIT:
            matrix[label, label] += 1
        elif outcomes.kinds[index] != Outcome.IN_CROWD:
            candidates = np.where(free, iou[index], -1.0) if free.any() else np.zeros(0)
            if candidates.size and candidates.max() >= hit_iou:
                partner = candidates.argmax()
                free[partner] = False
                matrix[truth.labels[partner], label] += 1
            else:
                matrix[num_classes, label] += 1
    np.add.at(matrix, (truth.labels[free], num_classes), 1)
    return matrix
