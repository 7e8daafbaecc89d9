"""IoU by the local thickness of the object at each pixel, to measure whether FReLU's window helps with thin objects.

Local thickness is defined by Hildebrand and Rüegsegger ("A new method for the model-independent assessment of thickness in
three-dimensional images", Journal of Microscopy 185, 1997), here in two dimensions: the diameter of the largest disk that is
inside the object and covers the pixel. The arm of a street lamp is thin and a wall is thick, independent of area and direction.
"""

from typing import List, Optional, Sequence

import cv2
import numpy as np

from mm_frelu.registry import METRICS

from .class_counts import ClassCounts, Counts


@METRICS.register_module()
class ThicknessIoU(ClassCounts):
    """Mean IoU over the parts of objects in each range of thickness, ``mIoU_0-4px``, ``mIoU_4-8px`` ... ``mIoU_16px+``.

    ``val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='mm_frelu.ThicknessIoU')]``

    True positives and false negatives count at the thickness of the ground truth, false positives at the thickness of the
    prediction. A pole that is missed and a pole that is predicted where there is none are both errors at thin parts. An
    inaccurate edge of a car is an error at a thick part. Summed over all thicknesses, the counts are those of IoU.

    Args:
        edges (Sequence[float]): Diameters in pixels that separate the ranges. A part whose thickness equals an edge belongs to
            the thinner range. Defaults to (4, 8, 16), in pixels of the label files. Choose other values if these do not have 1 to
            2 megapixels.
        ignore_index (int): The label of unlabelled pixels. Defaults to 255.
        collect_device (str): ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix (str, optional): Prefix of the names of the results, followed by a slash.
    """

    def __init__(
        self,
        edges: Sequence[float] = (4, 8, 16),
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(ignore_index, collect_device, prefix)
        self.edges = tuple(edges)
        if not self.edges or self.edges[0] < 1 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError(
                f'ThicknessIoU: edges must be ascending diameters in pixels, at least 1, got {edges}.'
            )

    def count(self, prediction: np.ndarray, label: np.ndarray, num_classes: int) -> Counts:
        """Count intersection (true positives) and union (with false negatives and positives) per thickness and class."""
        shape = len(self.edges) + 1, num_classes + 1
        true_bin, predicted_bin = (
            thickness_bins(labels, self.edges) for labels in (label, prediction)
        )

        def sums(where: np.ndarray, bins: np.ndarray, labels: np.ndarray) -> np.ndarray:
            pairs = bins[where] * shape[1] + labels[where]
            return np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)[:, :-1]

        right = prediction == label
        hits = sums(right, true_bin, label)
        return hits, hits + sums(~right, true_bin, label) + sums(~right, predicted_bin, prediction)

    def names(self) -> List[str]:
        """Return one name for each range of thickness, from thin to thick."""
        low = ('0', *(f'{edge:g}' for edge in self.edges))
        high = (*(f'-{edge:g}px' for edge in self.edges), 'px+')
        return [f'mIoU_{start}{end}' for start, end in zip(low, high)]


def thickness_bins(labels: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Find the range that the local thickness of every pixel belongs to.

    The disks are centred on pixels. Therefore a straight line of w pixels has the diameter w if w is odd, else w - 1, which is
    in the right range if the edges are even. The border of the image is not a contour, because objects may continue beyond it.

    Args:
        labels (np.ndarray): Class numbers (H, W). All classes are computed at once: a disk without a contour is in one region.
        edges (Sequence[float]): Ascending diameters in pixels.

    Returns:
        np.ndarray: Integers (H, W): the number of edges below the local thickness.
    """
    radius = distance_to_contour(labels)
    bins = np.zeros(labels.shape, np.int64)
    for edge in edges:
        centers = radius > edge / 2
        if not centers.any():
            break
        # Covered by a disk with a larger diameter than the edge: a morphological opening.
        far = cv2.distanceTransform((~centers).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        bins += far <= edge / 2
    return bins


def distance_to_contour(labels: np.ndarray) -> np.ndarray:
    """Compute the distance of every pixel centre to the nearest edge between pixels of different classes; 0.5 next to it.

    Args:
        labels (np.ndarray): Class numbers (H, W).

    Returns:
        np.ndarray: ``float32`` (H, W), in pixels; infinite if the image has one class.
    """
    height, width = labels.shape
    # A grid of twice the resolution includes the edges: pixels are at even rows and columns, edges are between them.
    grid = np.ones((2 * height - 1, 2 * width - 1), np.uint8)
    vertical, horizontal = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    grid[::2, 1::2][vertical] = 0
    grid[1::2, ::2][horizontal] = 0
    # Where four pixels meet.
    corner = vertical[1:] | vertical[:-1] | horizontal[:, 1:] | horizontal[:, :-1]
    grid[1::2, 1::2][corner] = 0
    if grid.all():
        return np.full(labels.shape, np.inf, np.float32)
    far = cv2.distanceTransform(grid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return far[::2, ::2] / 2
