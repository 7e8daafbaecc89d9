"""What each type of error costs a detector, as TIDE defines it (Bolya et al., ECCV 2020, sections 2.2 and 2.3).

The cost of a type is how much AP at IoU 0.5 rises when an oracle mends all errors of the type and nothing else.
AP is computed by pycocotools.
"""

from typing import Dict, Hashable, List, NamedTuple, Optional

import numpy as np

from .average_precision import precision_of_matches
from .boxes import Detections, TrueBoxes
from .outcomes import Outcome, Outcomes, outcomes_of

ERROR_TYPES = ('cls', 'loc', 'both', 'dupe', 'bkg', 'miss')
"""TIDE's names: wrong class, badly placed, both of them, duplicate, background, missed."""

_KIND = dict(
    cls=Outcome.WRONG_CLASS,
    loc=Outcome.BADLY_PLACED,
    both=Outcome.WRONG_CLASS_AND_BADLY_PLACED,
    dupe=Outcome.DUPLICATE,
    bkg=Outcome.BACKGROUND,
)
_PER_IMAGE = 100  # detections that COCO, and TIDE, look at


class ErrorCosts(NamedTuple):
    """The errors of a detector on a set of images.

    Attributes:
        ap50: AP at IoU 0.5, 0 to 1.
        costs: By type, by how much AP50 rises without the errors of the type, 0 to 1. They do not add up to ``1 - ap50``.
        counts: By type, the number of errors.
    """

    ap50: float
    costs: Dict[str, float]
    counts: Dict[str, int]


def error_costs(
    truth: Dict[Hashable, TrueBoxes], detections: Dict[Hashable, Detections], num_classes: int
) -> ErrorCosts:
    """Computes the costs of all types.

    Oracles: "cls" gives the right class and "loc" the right place to an error of its type that is the best scored of both types
    about an annotation that was not hit, and takes out the others; "both", "dupe" and "bkg" take the detections out; "miss" takes the
    annotations out.

    Args:
        truth: Annotations by image.
        detections: Detections by image; an image without an entry has none.
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
        # Taking away a false alarm may move one of the 101 points of recall down a step; TIDE counts that as no cost, too.
        name: max(_precision(images, num_classes, name) - ap50, 0.0) if counts[name] else 0.0
        for name in ERROR_TYPES
    }
    return ErrorCosts(ap50, costs, counts)


def _precision(images: List[tuple], num_classes: int, mended: Optional[str]) -> float:
    """AP50 when all errors of a type are mended."""
    matches: List[List[dict]] = [[] for _ in range(num_classes)]
    for detections, truth, outcomes in images:
        labels, hit, ignored, objects = _mend(detections, truth, outcomes, mended)
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


def _mend(detections: Detections, truth: TrueBoxes, outcomes: Outcomes, mended: Optional[str]):
    """Classes of the detections, which are hits, which are left out, and which annotations count."""
    kinds, labels = outcomes.kinds, detections.labels.copy()
    hit, ignored = kinds == Outcome.HIT, kinds == Outcome.IN_CROWD
    objects = ~truth.crowd
    if mended == 'miss':
        objects = objects & ~outcomes.missed
    elif mended is not None:
        errors = np.flatnonzero(kinds == _KIND[mended])
        ignored = ignored.copy()
        ignored[errors] = True
        if mended in ('cls', 'loc'):
            best = np.intersect1d(errors, _best_about_each(outcomes))
            ignored[best], hit = False, hit.copy()
            hit[best] = True
            labels[best] = truth.labels[outcomes.partners[best]]
    return labels, hit, ignored, objects


def _best_about_each(outcomes: Outcomes) -> np.ndarray:
    """Of the detections that would hit an annotation if they were right, the best scored one for each that was not hit."""
    errors = np.flatnonzero(np.isin(outcomes.kinds, (_KIND['cls'], _KIND['loc'])))
    partners = outcomes.partners[errors]
    # The first of each is the best, as detections are in the order of their scores.
    _, first = np.unique(partners, return_index=True)
    return errors[first[~outcomes.found[partners[first]]]]
