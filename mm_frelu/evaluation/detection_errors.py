"""Cost of each type of detection error as defined by TIDE (Bolya et al., ECCV 2020, sections 2.2 and 2.3).

The cost of a type is the increase of AP at IoU 0.5 when an oracle corrects all errors of this type and no others. AP is
computed with pycocotools.
"""

from typing import Dict, Hashable, List, NamedTuple, Optional

import numpy as np

from .average_precision import precision_of_matches
from .boxes import Detections, TrueBoxes
from .outcomes import Outcome, Outcomes, outcomes_of

ERROR_TYPES = ('cls', 'loc', 'both', 'dupe', 'bkg', 'miss')
"""Names of TIDE for: wrong class, badly placed, both, duplicate, background, missed."""

_KIND = dict(
    cls=Outcome.WRONG_CLASS,
    loc=Outcome.BADLY_PLACED,
    both=Outcome.WRONG_CLASS_AND_BADLY_PLACED,
    dupe=Outcome.DUPLICATE,
    bkg=Outcome.BACKGROUND,
)
_PER_IMAGE = 100  # detections that COCO and TIDE use


class ErrorCosts(NamedTuple):
    """The errors of a detector on a set of images.

    Attributes:
        ap50: AP at IoU 0.5, 0 to 1.
        costs: Increase of AP50 without the errors of each type, 0 to 1. The sum is not ``1 - ap50``.
        counts: Number of errors of each type.
    """

    ap50: float
    costs: Dict[str, float]
    counts: Dict[str, int]


def error_costs(
    truth: Dict[Hashable, TrueBoxes], detections: Dict[Hashable, Detections], num_classes: int
) -> ErrorCosts:
    """Compute the costs of all types.

    The oracle of "cls" corrects the class of an error and that of "loc" its position, if the error has the highest score of
    both types for an annotation that was not hit; other errors of the type are removed. The oracles of "both", "dupe" and
    "bkg" remove the detections. The oracle of "miss" removes the annotations.

    Args:
        truth: Annotations by image.
        detections: Detections by image. An image without an entry has no detections.
        num_classes: Number of classes.

    Returns:
        The costs.
    """
    none = Detections.of([], [], [])
    images = []
    for name, boxes in truth.items():
        found = Detections(*(field[:_PER_IMAGE] for field in detections.get(name, none)))
        images.append((found, boxes, outcomes_of(found, boxes)))
    ap50 = _precision(images, num_classes, None)
    counts = {
        name: int(sum((outcomes.kinds == kind).sum() for *_, outcomes in images))
        for name, kind in _KIND.items()
    }
    counts['miss'] = int(sum(outcomes.missed.sum() for *_, outcomes in images))
    costs = {
        # Removing a false positive may lower the precision at one of the 101 recall points. Like TIDE, we count this as 0.
        name: max(_precision(images, num_classes, name) - ap50, 0.0) if counts[name] else 0.0
        for name in ERROR_TYPES
    }
    return ErrorCosts(ap50, costs, counts)


def _precision(images: List[tuple], num_classes: int, corrected: Optional[str]) -> float:
    """Compute AP50 when all errors of a type are corrected."""
    matches: List[List[dict]] = [[] for _ in range(num_classes)]
    for detections, truth, outcomes in images:
        labels, hit, ignored, objects = _correct(detections, truth, outcomes, corrected)
        for number in {*labels[~ignored].tolist(), *truth.labels[objects].tolist()}:
            chosen = np.flatnonzero((labels == number) & ~ignored)
            matches[number].append(
                dict(
                    dtScores=detections.scores[chosen],
                    dtMatches=hit[chosen][None],
                    dtIgnore=np.zeros((1, len(chosen)), bool),
                    gtIgnore=np.zeros((truth.labels[objects] == number).sum(), int),
                )
            )
    return precision_of_matches(matches, len(images))


def _correct(
    detections: Detections, truth: TrueBoxes, outcomes: Outcomes, corrected: Optional[str]
):
    """Return the classes of the detections, which are hits, which are ignored, and which annotations count."""
    kinds, labels = outcomes.kinds, detections.labels.copy()
    hit, ignored = kinds == Outcome.HIT, kinds == Outcome.IN_CROWD
    objects = ~truth.crowd
    if corrected == 'miss':
        objects = objects & ~outcomes.missed
    elif corrected is not None:
        errors = np.flatnonzero(kinds == _KIND[corrected])
        ignored = ignored.copy()
        ignored[errors] = True
        if corrected in ('cls', 'loc'):
            best = np.intersect1d(errors, _best_for_each(outcomes))
            ignored[best], hit = False, hit.copy()
            hit[best] = True
            labels[best] = truth.labels[outcomes.partners[best]]
    return labels, hit, ignored, objects


def _best_for_each(outcomes: Outcomes) -> np.ndarray:
    """Return, for each annotation that was not hit, the error of "cls" or "loc" with the highest score."""
    errors = np.flatnonzero(np.isin(outcomes.kinds, (_KIND['cls'], _KIND['loc'])))
    partners = outcomes.partners[errors]
    # Detections are sorted by score, so the first one is the best.
    _, first = np.unique(partners, return_index=True)
    return errors[first[~outcomes.found[partners[first]]]]
