"""Detections and annotations of one image, in the form that all code for detections in this package uses."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from pycocotools import mask as coco_mask


class Detections(NamedTuple):
    """Detections of one image, in descending order of the scores.

    Attributes:
        boxes: ``float64`` (N, 4): left, top, right, bottom in pixels of the image file.
        labels: Class numbers, integers (N,).
        scores: ``float64`` (N,), 0 to 1.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, boxes: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> 'Detections':
        """Create sorted detections from arrays or lists of any type."""
        scores = np.asarray(scores, dtype=np.float64).reshape(-1)
        order = np.argsort(-scores, kind='stable')
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        labels = np.asarray(labels, dtype=np.int64).reshape(-1)
        return cls(boxes[order], labels[order], scores[order])

    def above(self, threshold: float) -> 'Detections':
        """Return the detections with at least this score."""
        keep = self.scores >= threshold
        return Detections(*(field[keep] for field in self))


class TrueBoxes(NamedTuple):
    """The annotations of an image.

    Attributes:
        boxes: ``float64`` (N, 4): left, top, right, bottom in pixels.
        labels: Class numbers, integers (N,).
        crowd: Booleans (N,): regions of many objects (``iscrowd`` of COCO, "difficult" of Pascal VOC). They need not be
            detected, and a detection in them is not an error.
        areas: ``float64`` (N,), in pixels, for AP by size: COCO's ``area``, or the area of the box.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray

    @classmethod
    def of(cls, boxes, labels, crowd=None, areas=None) -> 'TrueBoxes':
        """Create annotations from arrays or lists of any type. By default there are no crowds, and areas are those of boxes."""
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        labels = np.asarray(labels, dtype=np.int64).reshape(-1)
        crowd = np.zeros(len(labels), bool) if crowd is None else np.asarray(crowd, bool)
        if areas is None:
            areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        return cls(boxes, labels, crowd, np.asarray(areas, dtype=np.float64))


def overlaps(found: np.ndarray, true: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Compute the IoU of boxes with pycocotools; for a crowd, the fraction of the detected box that is inside it.

    Args:
        found: Boxes (N, 4): left, top, right, bottom.
        true: Boxes (M, 4).
        crowd: Booleans (M,).

    Returns:
        ``float64`` (N, M).
    """
    if not len(found) or not len(true):
        return np.zeros((len(found), len(true)))
    return coco_mask.iou(as_xywh(found), as_xywh(true), crowd.astype(np.uint8))


def as_xywh(boxes: np.ndarray) -> np.ndarray:
    """Convert boxes to COCO's format: left, top, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
