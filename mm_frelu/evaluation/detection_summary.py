"""Average precision and errors of a detector, as a table and as JSON."""

from typing import Any, Dict, Hashable, List, NamedTuple

import numpy as np
from rich.table import Table

from .average_precision import SIZES, AveragePrecision, average_precision
from .boxes import Detections, TrueBoxes
from .detection_errors import ERROR_TYPES, ErrorCosts, error_costs

_MEANINGS = dict(
    cls='wrong class',
    loc='badly placed',
    both='wrong class and badly placed',
    dupe='duplicate',
    bkg='nothing there',
    miss='missed',
)


class DetectionSummary(NamedTuple):
    """AP of a detector and the costs of its errors."""

    precision: AveragePrecision
    errors: ErrorCosts

    def image_ap(self, image: Hashable) -> float:
        """Return AP of one image over the classes of its objects; NaN if it has none."""
        own = self.precision.per_image[image]
        return float(np.nanmean(own)) if np.isfinite(own).any() else float('nan')

    def ranked(self) -> List[Hashable]:
        """Return the images with objects from the worst to the best."""
        scores = {image: self.image_ap(image) for image in self.precision.per_image}
        return sorted(
            (image for image in scores if scores[image] == scores[image]), key=scores.__getitem__
        )


def summarize(
    truth: Dict[Hashable, TrueBoxes], detections: Dict[Hashable, Detections], num_classes: int
) -> DetectionSummary:
    """Compute AP and errors. For the arguments, see :func:`~mm_frelu.evaluation.average_precision.average_precision`."""
    return DetectionSummary(
        average_precision(truth, detections, num_classes),
        error_costs(truth, detections, num_classes),
    )


def summary_tables(summaries: Dict[str, DetectionSummary]) -> List[Table]:
    """Create tables for the terminal, with one column per model: AP by size, and the cost of each type of error."""
    precision = Table('%', *summaries, title='AP by size (COCO)')
    for name, key in (('AP', 'ap'), ('AP50', 'ap50')):
        for size in SIZES:
            values = [getattr(summary.precision, key)[size] for summary in summaries.values()]
            precision.add_row(name if size == 'all' else f'{name} {size}', *map(_percent, values))
    errors = Table(
        'AP50 gained without', *summaries, title='Cost of errors (TIDE), and their number'
    )
    for kind in ERROR_TYPES:
        cells = [
            f'{_percent(summary.errors.costs[kind])} ({summary.errors.counts[kind]})'
            for summary in summaries.values()
        ]
        errors.add_row(f'{kind}: {_MEANINGS[kind]}', *cells)
    return [precision, errors]


def summary_as_json(summary: DetectionSummary) -> Dict[str, Any]:
    """Return the numbers of a summary, 0 to 1; None if there are no objects."""
    return dict(
        ap={size: _known(value) for size, value in summary.precision.ap.items()},
        ap50={size: _known(value) for size, value in summary.precision.ap50.items()},
        ap_per_class=[_known(value) for value in summary.precision.per_class],
        error_costs_in_ap50=summary.errors.costs,
        error_counts=summary.errors.counts,
    )


def _percent(value: float) -> str:
    return '–' if value != value else f'{100 * value:.1f}'


def _known(value: float):
    return None if value != value else float(value)
