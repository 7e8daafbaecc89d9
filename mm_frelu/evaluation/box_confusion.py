"""The confusion matrix of a detector: every true box and every detection counts once."""

import numpy as np

from .boxes import Detections, TrueBoxes, overlaps
from .outcomes import Outcome, outcomes_of


def box_confusion(
    detections: Detections, truth: TrueBoxes, num_classes: int, hit_iou: float
) -> np.ndarray:
    """Count the pairs of true and predicted class in one image.

    Detections first take true boxes of their own class (the hits of AP). Those left then take, in the order of their scores, the free box of
    any class with which they overlap most, from ``hit_iou`` on. What is left on either side is background. So each row sums to the number of
    true boxes of a class and each column to the number of detections; mmdet's own tool counts a box once for each detection that
    overlaps it, so that its rows do not.

    Args:
        detections: Detections above the threshold.
        truth: The annotations. Crowds, and detections in them, are not counted.
        num_classes: Number of classes.
        hit_iou: IoU from which a detection is about a box.

    Returns:
        Integers (num_classes + 1, num_classes + 1): rows are true classes, columns predicted ones, the last of both is background.
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
