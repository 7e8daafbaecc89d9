"""Read the pickle that tools/test.py --out writes for detection."""

from pathlib import Path
from typing import Any, Dict, Hashable, Union

import mmengine
import numpy as np

from mm_frelu.engine.errors import UserError
from mm_frelu.evaluation.boxes import Detections

from .detection_set import DetectionSet

_KEYS = ('bboxes', 'labels', 'scores')
_MAKE = 'Write it again: tools/test.py CONFIG CHECKPOINT --out X.pkl.'


def read_detections(path: Union[str, Path], test_set: DetectionSet) -> Dict[Hashable, Detections]:
    """Read predictions and check that they belong to a test set.

    Args:
        path: File of ``tools/test.py --out`` or mmdet's test tool.
        test_set: The test set.

    Returns:
        Detections for every image of the test set, by its id.

    Raises:
        UserError: If the file does not exist, is of another kind, or has predictions for other images or classes.
    """
    path = Path(path)
    if not path.is_file():
        kind = 'is a folder' if path.is_dir() else 'there is no such file'
        raise UserError(f'{path}: {kind}. Predictions of a detector are in a single file. {_MAKE}')
    try:
        results = mmengine.load(path)
    except Exception as error:  # a pickle may fail in any way
        raise UserError(
            f'{path} cannot be read as a pickle of predictions ({error}). {_MAKE}'
        ) from None
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise UserError(
            f'{path} has a {type(results).__name__}; expected a list with one dict for each image. {_MAKE}'
        )
    detections = {}
    for result in results:
        instances = result.get('pred_instances')
        if 'img_id' not in result or not {*_KEYS} <= set(instances or ()):
            found = instances or result
            raise UserError(
                f'{path} has no boxes: its entries have {", ".join(list(found)[:4]) or "nothing"}; expected img_id and '
                f'pred_instances with {", ".join(_KEYS)}, the output of a detector. {_MAKE}'
            )
        detections[result['img_id']] = _of_result(path, result, test_set)
    _check_images(path, results, test_set)
    return detections


def _of_result(path: Path, result: Dict[str, Any], test_set: DetectionSet) -> Detections:
    found = result['pred_instances']
    boxes, labels, scores = (np.asarray(getattr(found[key], 'tensor', found[key])) for key in _KEYS)
    number = len(test_set.classes)
    if labels.size and not 0 <= labels.min() <= labels.max() < number:
        raise UserError(
            f'{path} has the class number {labels.max()}, but {test_set.name} has {number} classes, 0 to {number - 1}. The '
            'predictions are of a model for another dataset. Give its config.'
        )
    return Detections.of(boxes, labels, scores)


def _check_images(path: Path, results: list, test_set: DetectionSet) -> None:
    """Reject predictions for other images, by their ids and, if these were saved, by their file names."""
    ids = {result['img_id'] for result in results}
    strange, absent = ids - set(test_set.images), set(test_set.images) - ids
    if strange or absent:
        raise UserError(
            f'{path} has predictions for {len(ids)} images, {test_set.name} has {len(test_set.images)}; '
            f'{len(strange)} of the ids are not in it, and {len(absent)} of its images have no predictions. The predictions are '
            f'for another dataset, or the test was interrupted. {_MAKE}'
        )
    for result in results:
        name, expected = result.get('img_path'), test_set.images[result['img_id']].path
        if name and Path(name).name != expected.name:
            raise UserError(
                f'The image {result["img_id"]!r} is {Path(name).name} in {path}, but {expected.name} in {test_set.name}. The '
                f'predictions are for another dataset. Give its config, or test again.'
            )
