"""Boundary IoU (Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021).

For each class, only bands of the prediction and of the ground truth are compared: the pixels within a distance d of the
contour. The IoU of the areas is insensitive to the contour of large objects, and does not show how well models segment thin
ones.
"""

import math
from typing import List, Optional

import cv2
import numpy as np

from mm_frelu.registry import METRICS

from .class_counts import ClassCounts, Counts


@METRICS.register_module()
class BoundaryIoU(ClassCounts):
    """Boundary IoU of every class over a dataset, ``mBIoU``. It can be used together with mmseg's metric or alone.

    ``val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='mm_frelu.BoundaryIoU')]``

    Like mIoU, it sums the intersections and unions of the bands over all images before it divides. The width d of the band is
    ``dilation_ratio`` times the diagonal of the image, rounded, and at least 1 pixel. As in the authors' code the neighbourhood
    is square: a pixel is in the band if any pixel at most d rows and d columns away has another class or is outside the image.

    Args:
        dilation_ratio (float): Width of the band relative to the image diagonal. Defaults to 0.02, the paper's value for COCO
            and LVIS, which is 16 pixels for images of 640x480. Use a smaller value for larger images to keep the width in pixels:
            for CityScapes, 0.005 is 11 pixels.
        ignore_index (int): The label of unlabelled pixels. Defaults to 255.
        collect_device (str): ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix (str, optional): Prefix of the result's name, followed by a slash.
    """

    def __init__(
        self,
        dilation_ratio: float = 0.02,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(ignore_index, collect_device, prefix)
        if not 0 < dilation_ratio < 1:
            raise ValueError(
                f'BoundaryIoU: dilation_ratio must be a fraction of the diagonal between 0 and 1, got {dilation_ratio}.'
            )
        self.dilation_ratio = dilation_ratio

    def count(self, prediction: np.ndarray, label: np.ndarray, num_classes: int) -> Counts:
        """Count the pixels in both bands, and in either band, per class."""
        distance = max(round(self.dilation_ratio * math.hypot(*label.shape)), 1)
        inside = [band(labels, distance) for labels in (prediction, label)]
        # An extra class for unlabelled pixels, which is removed.
        sizes = [
            np.bincount(labels[near], minlength=num_classes + 1)[:num_classes]
            for labels, near in zip((prediction, label), inside)
        ]
        both = inside[0] & inside[1] & (prediction == label)
        intersection = np.bincount(label[both], minlength=num_classes + 1)[:num_classes]
        return intersection, sizes[0] + sizes[1] - intersection

    def names(self) -> List[str]:
        """Return the name of the only result."""
        return ['mBIoU']


def band(labels: np.ndarray, distance: int) -> np.ndarray:
    """Find the pixels near the contour of their region.

    For every class, these are the pixels of its mask that are removed when the mask is eroded ``distance`` times by a 3x3
    square. A pixel is not removed exactly if the large square around it has one class, so all classes are computed at once.

    Args:
        labels (np.ndarray): Class numbers (H, W), 0 to 65533.
        distance (int): Width of the band in pixels, at least 1.

    Returns:
        np.ndarray: Boolean (H, W).
    """
    # The area outside the image is a separate class.
    padded = cv2.copyMakeBorder(
        (labels + 1).astype(np.uint16),
        distance,
        distance,
        distance,
        distance,
        cv2.BORDER_CONSTANT,
        value=0,
    )
    square = np.ones((2 * distance + 1,) * 2, np.uint8)
    height, width = labels.shape
    inner = np.s_[distance : distance + height, distance : distance + width]
    return cv2.erode(padded, square)[inner] != cv2.dilate(padded, square)[inner]
