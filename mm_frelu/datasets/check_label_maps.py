"""Check the values of some label maps before training.

mmseg trains on any values in a file. In a mask of 0 and 255, for example, 255 means "not labelled", so there is one class only. If the
config has more classes than the files, some outputs of the head learn nothing. The loss decreases in both cases.
"""

from collections import Counter
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from mm_frelu.engine.config_types import kind_of, steps_of
from mm_frelu.engine.errors import UserError, listed

from .check_pictures import Picture, sample, warn_of_turned
from .ignore_index import Ignored
from .label_files import Renumbering, check_label_file
from .notices import tell, warn

NUMBER = 24
"""Number of label maps to read. This takes some tenths of a second for CityScapes' size."""

_MANY = 2000  # label maps to read if the first ones are masks of 0 and 255; half a minute for CityScapes' size


def check_label_maps(
    key: str,
    settings: Dict[str, Any],
    cls: Optional[type],
    ignored: Ignored,
    pairs: Sequence[Tuple[str, str]],
) -> None:
    """Read a sample of the label maps of a dataset like its pipeline does, and check their values.

    One log line says which values were found and which the config expects.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config with defaults and ``classes``.
        cls (type, optional): Its Python class, which maps a subset of its classes to new ids.
        ignored (Ignored): The label of pixels that are not labelled.
        pairs (Sequence[Tuple[str, str]]): Image and label file of each sample.

    Raises:
        UserError: For files that are not 8-bit label maps, values that are not a class, a ``CheckLabelIds`` with another number of
            classes, and more classes than 8 bits can represent.
    """
    steps = list(steps_of(settings.get('pipeline')))
    loaders = [step for step in steps if kind_of(step) == 'LoadAnnotations']
    classes = settings.get('classes')
    if not loaders or not classes or isinstance(classes, str):
        return
    _require_room(key, classes)
    label_map = _label_map(key, settings, cls)
    _check_the_check(key, settings, label_map, ignored)
    reading = Renumbering(
        bool(settings.get('reduce_zero_label') or loaders[0].get('reduce_zero_label')),
        label_map,
        dict(loaders[0]),
    )
    found: Counter = Counter()
    pictures: List[Picture] = []
    chosen = sample(pairs, NUMBER)
    for image, label in chosen:
        check_label_file(label, f'{key}: ')
        values = _load(key, reading, label)
        pictures.append(Picture(image, values.shape[1], values.shape[0], label))
        counts = np.bincount(values.ravel(), minlength=256)
        ids = np.flatnonzero(counts).tolist()
        wrong = [number for number in ids if number >= len(classes) and number != ignored.value]
        if wrong:
            raise UserError(
                f'{key}: {label} has the values {_ranges(wrong)}, which are not classes; expected '
                f'{_expected(len(classes), ignored)}.{_cause(wrong, len(classes), label, reading)}'
            )
        found.update({number: int(counts[number]) for number in ids})
    tell(
        f'{key}: {len(chosen)} of {len(pairs)} label files were read: values {_ranges(sorted(found))}'
        f'{" after reduce_zero_label and label_map" if reading.label_map else ""}; the config expects '
        f'{_expected(len(classes), ignored)}.'
    )
    _check_variety(key, found, classes, ignored, reading, pairs)
    warn_of_turned(key, pictures, 'labels', settings.get('pipeline'))


def _require_room(key: str, classes: Sequence[str]) -> None:
    if len(classes) > 255:
        raise UserError(
            f'{key}: {len(classes)} classes, but mmseg reads label maps as 8 bits and uses 255 for "not labelled", so it '
            'supports 255 classes. Merge classes, or load labels with your own transform.'
        )


def _label_map(key: str, settings: Dict[str, Any], cls: Any) -> Optional[Dict[int, int]]:
    """Return how mmseg maps old class ids to new ones for a subset of classes; None for a class that is not one of mmseg's."""
    if not hasattr(cls, 'get_label_map'):
        return None
    try:
        return cls.get_label_map(settings['classes'])
    except ValueError:
        known = cls.METAINFO['classes']
        unknown = [name for name in settings['classes'] if name not in known]
        raise UserError(
            f'{key}: {settings.get("type")} has fixed classes ({listed(known, 3)}), and {unknown[0]!r} of '
            "metainfo.classes is not one of them. For your own classes use type='BaseSegDataset' with img_suffix and "
            'seg_map_suffix.'
        ) from None


def _check_the_check(
    key: str, settings: Dict[str, Any], label_map: Optional[Dict[int, int]], ignored: Ignored
) -> None:
    """Check that ``CheckLabelIds`` in the pipeline has the dataset's number of classes and the ignored label."""
    number = len(settings['classes'])
    for step in steps_of(settings.get('pipeline')):
        if kind_of(step) != 'CheckLabelIds':
            continue
        told = step.get('num_classes')
        # A label_map replaces the ids of classes that are not chosen.
        if told != number and not (label_map and isinstance(told, int) and told > number):
            raise UserError(
                f'{key}.pipeline: CheckLabelIds has num_classes={told}, but the dataset has {number} classes. Set '
                f'num_classes={number} there, in every pipeline.'
            )
        if step.get('ignore_index', 255) != ignored.value:
            warn(
                f'{key}.pipeline: CheckLabelIds has ignore_index={step.get("ignore_index", 255)}, but {ignored.key} is '
                f'{ignored.value}. Set the same value in the pipelines, in the heads of the model and in the evaluator.'
            )


def _load(key: str, reading: Renumbering, label: str) -> np.ndarray:
    try:
        values = reading.load(label)
    except UserError:
        raise
    except Exception as error:  # each decoder raises its own types
        raise UserError(
            f'{key}: {label} cannot be read as a label map ({error}). Replace the file or remove it from the dataset.'
        ) from None
    if values.ndim > 2:
        raise UserError(
            f'{key}: {label} is read as {values.shape[2]} channels by {reading.loader}: OpenCV replaces the indices of a palette '
            "image with colours. Leave out imdecode_backend to use its default, 'pillow'."
        )
    return np.atleast_2d(values)


def _check_variety(
    key: str,
    found: Counter,
    classes: Sequence[str],
    ignored: Ignored,
    reading: Renumbering,
    pairs: Sequence[Tuple[str, str]],
) -> None:
    """Warn or raise if labels have a single class. Most often they are masks of 0 and 255, and mmseg ignores 255."""
    labelled = [number for number in found if number != ignored.value]
    if len(classes) < 2 or len(labelled) > 1 or not found:
        return
    only = f'the class {classes[labelled[0]]!r} and ' if labelled else ''
    rest = 'unlabelled pixels' if found[ignored.value] else 'nothing else'
    read = min(len(pairs), NUMBER)
    is_mask = set(found) <= {0, 255} and found[255] > 0 and not reading.label_map
    if is_mask and key.startswith('train_'):
        # The other files may have a rare class.
        others = {label for _, label in pairs[:_MANY]} - {
            label for _, label in sample(pairs, NUMBER)
        }
        is_mask = all(set(np.unique(_load(key, reading, label))) <= {0, 255} for label in others)
        read += len(others) if is_mask else 0
    text = (
        f'{key}: {read} of {len(pairs)} label files were read, and they have {only}{rest} (values {_ranges(sorted(found))}, '
        f'{pairs[0][1]} for example), but there are {len(classes)} classes.'
    )
    if is_mask:
        text += (
            ' They look like masks of 0 and 255: write 1 instead of 255 for that class, because the loss and every score ignore '
            '255.'
        )
    if is_mask and read == len(pairs) and key.startswith('train_'):
        raise UserError(f'{text} With a single class there is nothing to learn.')
    warn(text)


def _cause(wrong: Sequence[int], number: int, label: str, reading: Renumbering) -> str:
    if list(wrong) == [255] and (reading.label_map or reading.reduce_zero_label):
        return ' mmseg maps values that are not a class of the dataset to 255: leave ignore_index at 255.'
    if 'labelIds' in label:
        return ' These are labelIds; train on *_gtFine_labelTrainIds.png (csCreateTrainIdLabelImgs makes them).'
    if list(wrong) == [number]:
        return ' The ids seem to start at 1: set reduce_zero_label=True if 0 means "no class", or add one class.'
    return (
        ' Write class ids into the files, or set the ignore_index of dataset, heads and evaluator.'
    )


def _expected(number: int, ignored: Ignored) -> str:
    return f'0 to {number - 1}, or {ignored.value} (not labelled: {ignored.key})'


def _ranges(numbers: Sequence[int]) -> str:
    """Format numbers as ranges, such as ``0 to 3, 7, 255``."""
    runs: List[List[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f'{run[0]} to {run[-1]}' if len(run) > 2 else ', '.join(map(str, run)) for run in runs]
    return listed(texts, 8) or 'none'
