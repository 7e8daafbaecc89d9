"""Boundary IoU (Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021).

Of each class in the prediction and in the ground truth only a band is compared: its pixels that lie within d of its contour.
IoU of the areas hardly sees the contour of large things and cannot tell apart how well two models cut out slender ones.
"""

import math
from typing import List, Optional

import cv2
import numpy as np

from mm_frelu.registry import METRICS

from .class_counts import ClassCounts, Counts


@METRICS.register_module()
class BoundaryIoU(ClassCounts):
    """Boundary IoU of every class over a dataset, ``mBIoU``: beside mmseg's metric, or alone.

    ``val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='mm_frelu.BoundaryIoU')]``

    As mIoU does, it adds up the intersections and unions of the bands over all images before it divides. The band has d pixels,
    ``dilation_ratio`` times the diagonal of the image, rounded, at least 1: with the authors' square neighbourhood a pixel is in it if
    any pixel less than d + 1 rows and columns away has another class or lies outside the image.

    Args:
        dilation_ratio (float): Width of the band as a share of the image's diagonal. Defaults to 0.02, the paper's for COCO and LVIS,
            which is 13 pixels of 640x480. For images as large as CityScapes' a smaller one keeps that width in pixels: 0.005 is 11.
        ignore_index (int): The label that stands for "not labelled". Defaults to 255.
        collect_device (str): ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix (str, optional): Put before the name of the result, with a slash.
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
                f'BoundaryIoU: dilation_ratio is a share of the diagonal between 0 and 1, got {dilation_ratio}.'
            )
        self.dilation_ratio = dilation_ratio

    def count(self, prediction: np.ndarray, label: np.ndarray, num_classes: int) -> Counts:
        """Pixels of both bands, and of either, per class."""
        distance = max(round(self.dilation_ratio * math.hypot(*label.shape)), 1)
        inside = [band(labels, distance) for labels in (prediction, label)]
        # One class more for pixels without label; it is cut off.
        sizes = [
            np.bincount(labels[near], minlength=num_classes + 1)[:num_classes]
            for labels, near in zip((prediction, label), inside)
        ]
        both = inside[0] & inside[1] & (prediction == label)
        intersection = np.bincount(label[both], minlength=num_classes + 1)[:num_classes]
        return intersection, sizes[0] + sizes[1] - intersection

    def names(self) -> List[str]:
        """The one result."""
        return ['mBIoU']


def band(labels: np.ndarray, distance: int) -> np.ndarray:
    """The pixels that lie near the contour of the region that they belong to.

    For every class this is what is left of its mask without the mask eroded ``distance`` times by a square of 3x3; since a pixel survives
    exactly where the square around it holds one class, all classes are done at once.

    Args:
        labels (np.ndarray): Class numbers (H, W), 0 to 65533.
        distance (int): Width of the band in pixels, at least 1.

    Returns:
        np.ndarray: Boolean (H, W).
    """
    # What lies outside the image is another class than any.
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
