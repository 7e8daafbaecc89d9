"""Replace annotation ids that pycocotools cannot handle.

``COCOeval`` stores the id of each matched annotation in a numeric array, where 0 means "no match" (as in
``tps = np.logical_and(dtm, ...)``). A match with annotation 0 therefore counts as a false positive and a miss. A string id such as a UUID
raises a ValueError about floats. COCO's format allows both.
"""

from typing import Any, Dict, List

from mmengine.evaluator import Evaluator
from mmengine.logging import print_log


def number_annotations(evaluator: Evaluator) -> None:
    """Give annotations a new id if pycocotools would misread theirs. Only the metrics in memory change, not the file.

    Args:
        evaluator (Evaluator): Its metrics that have a COCO file are changed.
    """
    for metric in evaluator.metrics:
        annotations = getattr(getattr(metric, '_coco_api', None), 'anns', None)
        if isinstance(annotations, dict):
            _number(annotations, type(metric).__name__)


def _number(annotations: Dict[Any, Any], metric: str) -> None:
    # Panoptic files have lists of segments here.
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
        entry = annotations.pop(number)  # the dict that the lists per image refer to as well
        entry['id'] = free + index
        annotations[entry['id']] = entry
    print_log(
        f'{metric}: {len(misread)} annotations have an id that pycocotools misreads ({misread[0]!r}; to it, 0 means "no '
        f'match"). They are evaluated with new ids from {free} on; the file is not changed.',
        'current',
    )


def _is_misread(number: Any) -> bool:
    try:
        return float(number) == 0
    except (TypeError, ValueError):
        return True
