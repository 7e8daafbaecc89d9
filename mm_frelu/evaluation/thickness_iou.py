"""IoU by how thick the object is where a pixel lies: the number behind the claim that a window suits slender things.

Local thickness is that of Hildebrand and Rüegsegger ("A new method for the model-independent assessment of thickness in
three-dimensional images", Journal of Microscopy 185, 1997), in two dimensions: the diameter of the largest disk that lies
in the object and covers the pixel. So the arm of a street lamp is thin and a wall is thick, whatever their area and direction.
"""

from typing import List, Optional, Sequence

import cv2
import numpy as np

from mm_frelu.registry import METRICS

from .class_counts import ClassCounts, Counts


@METRICS.register_module()
class ThicknessIoU(ClassCounts):
    """Mean IoU over the parts of objects of one thickness, ``mIoU_0-4px``, ``mIoU_4-8px`` ... ``mIoU_16px+``.

    ``val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='mm_frelu.ThicknessIoU')]``

    Hits and misses count where the ground truth is thin or thick, false alarms where the prediction is: a pole that is
    overlooked and one that is made up are both errors at thin parts, and a slip along the edge of a car is one at a thick part. Added up
    over the thicknesses, intersections and false pixels are those of IoU.

    Args:
        edges (Sequence[float]): Diameters in pixels that divide the thicknesses; a part just as thick as an edge is with the thinner ones.
            Defaults to (4, 8, 16). They are pixels of the label files: for others than of 1 to 2 megapixels choose your own.
        ignore_index (int): The label that stands for "not labelled". Defaults to 255.
        collect_device (str): ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix (str, optional): Put before the names of the results, with a slash.
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
                f'ThicknessIoU: edges are ascending diameters in pixels, at least 1, got {edges}.'
            )

    def count(self, prediction: np.ndarray, label: np.ndarray, num_classes: int) -> Counts:
        """Hits, and hits with misses and false alarms, per thickness and class."""
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
        """One result for each thickness, from thin to thick."""
        low = ('0', *(f'{edge:g}' for edge in self.edges))
        high = (*(f'-{edge:g}px' for edge in self.edges), 'px+')
        return [f'mIoU_{start}{end}' for start, end in zip(low, high)]


def thickness_bins(labels: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Between which edges the local thickness of every pixel lies.

    The disks are centred on pixels, so that a straight line w pixels wide has the diameter w if that is odd, else w - 1: with
    even edges it is in the right bin. The border of the image is not a contour, as nobody knows how things go on there.

    Args:
        labels (np.ndarray): Class numbers (H, W), all classes at once: a disk that holds no contour is in one region.
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
    """Distance of every pixel's centre to the nearest line between two pixels of different classes; 0.5 beside it.

    Args:
        labels (np.ndarray): Class numbers (H, W).

    Returns:
        np.ndarray: ``float32`` (H, W), in pixels; infinite where the image has one class.
    """
    height, width = labels.shape
    # Twice as fine a grid has a place for the lines: pixels are at even rows and columns, lines between them.
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
