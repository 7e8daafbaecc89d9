"""Annotation ids that pycocotools can work with.

Its ``COCOeval`` writes the id of the annotation that a detection found into an array of numbers, where 0 stands for "none" (as in
``tps = np.logical_and(dtm, ...)``): an annotation with the id 0 that is found counts as missed, and the detection as a false alarm. An
id that is a word (a UUID) ends in a ValueError about floats. COCO's format forbids neither.
"""

from typing import Any, Dict, List

from mmengine.evaluator import Evaluator
from mmengine.logging import print_log


def number_annotations(evaluator: Evaluator) -> None:
    """Give annotations another id where pycocotools would misread theirs, in the memory of the metrics alone.

    Args:
        evaluator (Evaluator): Its metrics with a COCO file are changed; no file is.
    """
    for metric in evaluator.metrics:
        annotations = getattr(getattr(metric, '_coco_api', None), 'anns', None)
        if isinstance(annotations, dict):
            _number(annotations, type(metric).__name__)


def _number(annotations: Dict[Any, Any], metric: str) -> None:
    # Panoptic files hold lists here, whose ids are those of segments.
    misread: List[Any] = [
        number
        for number, entry in annotations.items()
        if isinstance(entry, dict) and _is_misread(number)
    ]
    if not misread:
        return
    free = 1 + max(
        (int(float(number)) for number in annotations if not _is_misread(number)), default=0
    )
    for index, number in enumerate(misread):
        entry = annotations.pop(number)  # the same dict as in the lists of its image
        entry['id'] = free + index
        annotations[entry['id']] = entry
    print_log(
        f'{metric}: {len(misread)} annotations have an id that pycocotools misreads ({misread[0]!r}; it takes 0 for "found '
        f'nothing"). They are evaluated under the numbers from {free} on; the file stays as it is.',
        'current',
    )


def _is_misread(number: Any) -> bool:
    try:
        return float(number) == 0
    except (TypeError, ValueError):
        return True
