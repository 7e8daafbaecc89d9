"""Classify each detection and each annotation of an image by the error types of TIDE.

Bolya, Foley, Hays, Hoffman: "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020, section 2.2.
Pictures, tables and the cost in AP all use this classification.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from .boxes import Detections, TrueBoxes, overlaps

HIT_IOU = 0.5
BACKGROUND_IOU = 0.1


class Outcome(IntEnum):
    """Outcome of a detection. The values define the order in the legend."""

    HIT = 0
    WRONG_CLASS = 1
    BADLY_PLACED = 2
    WRONG_CLASS_AND_BADLY_PLACED = 3
    DUPLICATE = 4
    BACKGROUND = 5
    IN_CROWD = 6


class Outcomes(NamedTuple):
    """The outcomes of an image.

    Attributes:
        kinds: :class:`Outcome` of each detection, integers (N,).
        partners: The annotation that a detection hit, or that an error with wrong class, bad position or a duplicate refers to;
            otherwise -1. Integers (N,).
        found: Whether an annotation was hit. Booleans (M,).
        missed: Whether an annotation is "missed" as defined by TIDE: it was not hit, and no detection with only a wrong class or
            only a bad position refers to it. Crowds are never missed. Booleans (M,).
    """

    kinds: np.ndarray
    partners: np.ndarray
    found: np.ndarray
    missed: np.ndarray


def outcomes_of(
    detections: Detections,
    truth: TrueBoxes,
    hit_iou: float = HIT_IOU,
    background_iou: float = BACKGROUND_IOU,
) -> Outcomes:
    """Compare the detections of an image with its annotations.

    In the order of their scores, detections are matched to the unmatched annotation of their class with the largest overlap of
    at least ``hit_iou``. These are hits. Each other detection gets the first of these types that applies: badly placed (overlap
    between ``background_iou`` and ``hit_iou`` with its class), wrong class (at least ``hit_iou`` with another class), duplicate
    (at least ``hit_iou`` with an annotation that was hit), background (at most ``background_iou`` with any annotation), or wrong
    class and badly placed.

    Args:
        detections: The detections.
        truth: The annotations.
        hit_iou: Smallest IoU of a hit, 0.5 in TIDE.
        background_iou: Largest IoU of a background detection, 0.1 in TIDE.

    Returns:
        The outcomes.
    """
    number, real = len(detections.labels), np.flatnonzero(~truth.crowd)
    iou = overlaps(detections.boxes, truth.boxes, truth.crowd)
    same = detections.labels[:, None] == truth.labels[None]
    kinds = np.full(number, int(Outcome.BACKGROUND))
    partners = np.full(number, -1)
    found = np.zeros(len(truth.labels), bool)
    usable = np.zeros(len(truth.labels), bool)
    own = np.where(same, iou, 0.0)[:, real]
    free = own.copy()
    for index in range(number if len(real) else 0):
        best = free[index].argmax()
        if free[index, best] >= hit_iou:
            kinds[index], partners[index] = Outcome.HIT, real[best]
            found[real[best]] = True
            free[:, best] = 0
    other = np.where(same, 0.0, iou)[:, real]
    hit = own * found[real]
    for index in np.flatnonzero(kinds != Outcome.HIT):
        if (same[index] & truth.crowd & (iou[index] >= hit_iou)).any():
            kinds[index] = Outcome.IN_CROWD
        elif len(real):
            kinds[index], best = _error(
                own[index], other[index], hit[index], hit_iou, background_iou
            )
            partners[index] = -1 if best < 0 else real[best]
            if kinds[index] in (Outcome.BADLY_PLACED, Outcome.WRONG_CLASS):
                usable[partners[index]] = True
    return Outcomes(kinds, partners, found, ~found & ~usable & ~truth.crowd)


def _error(own, other, hit, hit_iou, background_iou):
    """Return the error type and the annotation of a detection.

    The overlaps are those with the annotations of its class, of other classes, and of its class that were hit.
    """
    if background_iou <= own.max() <= hit_iou:
        return Outcome.BADLY_PLACED, own.argmax()
    if other.max() >= hit_iou:
        return Outcome.WRONG_CLASS, other.argmax()
    if hit.max() >= hit_iou:
        return Outcome.DUPLICATE, hit.argmax()
    if max(own.max(), other.max()) <= background_iou:
        return Outcome.BACKGROUND, -1
    return Outcome.WRONG_CLASS_AND_BADLY_PLACED, other.argmax()
