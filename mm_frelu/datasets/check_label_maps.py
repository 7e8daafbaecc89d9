"""Read some label maps before training: do they hold what the config says?

mmseg trains on whatever numbers a file has. A mask of 0 and 255 has one class and "not labelled"; a list of classes that is longer
than the files' leaves heads that learn nothing; and neither is told by a loss that falls.
"""

from collections import Counter
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from mm_frelu.engine.errors import UserError

from .check_pictures import Picture, sample, steps_of, warn_of_turned
from .ignore_index import Ignored
from .label_files import Renumbering, check_label_file
from .notices import tell, warn

NUMBER = 24
"""Label maps to read; some tenths of a second for CityScapes' size."""

_MANY = 2000  # label maps to read where the first look like masks of 0 and 255; half a minute for CityScapes' size


def check_label_maps(
    key: str,
    settings: Dict[str, Any],
    cls: Optional[type],
    ignored: Ignored,
    pairs: Sequence[Tuple[str, str]],
) -> None:
    """Read a sample of the label maps of a dataset as its pipeline does.

    One line says which values were found and which the config expects.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config with defaults and ``classes``.
        cls (type, optional): Its class, which knows what a subset of its classes becomes.
        ignored (Ignored): The label that is left out.
        pairs (Sequence[Tuple[str, str]]): Image and label file of each sample.

    Raises:
        UserError: For files that are no label maps of 8 bits, values that are no class, label maps of another size than their
            image, a check in the pipeline that counts other classes, and more classes than 8 bits can tell apart.
    """
    loaders = [step for step in steps_of(settings.get('pipeline')) if _is(step, 'LoadAnnotations')]
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
                f'{key}: {label} has the values {_ranges(wrong)}, which are no class; expected '
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
            f'{key}: {len(classes)} classes, but mmseg reads label maps as 8 bits and takes 255 for "not labelled": it can tell '
            '255 classes apart. Merge classes, or load labels by a transform of your own.'
        )


def _label_map(key: str, settings: Dict[str, Any], cls: Any) -> Optional[Dict[int, int]]:
    """What mmseg makes of the ids of classes that are not chosen, if its class is known and is one of mmseg's."""
    if not hasattr(cls, 'get_label_map'):
        return None
    try:
        return cls.get_label_map(settings['classes'])
    except ValueError:
        known = cls.METAINFO['classes']
        strangers = [name for name in settings['classes'] if name not in known]
        raise UserError(
            f'{key}: {settings.get("type")} has classes of its own ({", ".join(known[:3])}, ...), and {strangers[0]!r} of '
            "metainfo.classes is none of them. For classes of your own write type='BaseSegDataset' with img_suffix and "
            'seg_map_suffix.'
        ) from None


def _check_the_check(
    key: str, settings: Dict[str, Any], label_map: Optional[Dict[int, int]], ignored: Ignored
) -> None:
    """A ``CheckLabelIds`` that was left as it stood for another dataset lets ids through, or refuses classes."""
    number = len(settings['classes'])
    for step in steps_of(settings.get('pipeline')):
        if not _is(step, 'CheckLabelIds'):
            continue
        told = step.get('num_classes')
        # With a label_map no id of a class that is not chosen is left.
        if told != number and not (label_map and isinstance(told, int) and told > number):
            raise UserError(
                f'{key}.pipeline: CheckLabelIds has num_classes={told}, but the dataset has {number} classes. Set '
                f'num_classes={number} there, in every pipeline.'
            )
        if step.get('ignore_index', 255) != ignored.value:
            warn(
                f'{key}.pipeline: CheckLabelIds has ignore_index={step.get("ignore_index", 255)}, but {ignored.key} is '
                f'{ignored.value}. Set the same in the pipelines, in the heads of the model and in the evaluator.'
            )


def _load(key: str, reading: Renumbering, label: str) -> np.ndarray:
    try:
        values = reading.load(label)
    except UserError:
        raise
    except Exception as error:  # each decoder has its own
        raise UserError(
            f'{key}: {label} cannot be read as a label map ({error}). Replace the file or take it out of the dataset.'
        ) from None
    if values.ndim > 2:
        raise UserError(
            f'{key}: {label} is read as {values.shape[2]} channels by {reading.loader}: OpenCV puts the colours of a palette in '
            "place of its numbers. Leave out imdecode_backend, which is 'pillow' then."
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
    """Labels of a single class: most often a mask of 0 and 255, of which mmseg leaves out the 255."""
    labelled = [number for number in found if number != ignored.value]
    if len(classes) < 2 or len(labelled) > 1 or not found:
        return
    only = f'the class {classes[labelled[0]]!r} and ' if labelled else ''
    rest = 'pixels that are not labelled' if found[ignored.value] else 'nothing else'
    read = min(len(pairs), NUMBER)
    is_mask = set(found) <= {0, 255} and found[255] > 0 and not reading.label_map
    if is_mask and key.startswith('train_'):
        # Most pixels of a rare class may be in the other files.
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
            ' Masks of 0 and 255 look like this: write 1 for the class that 255 stands for, since 255 is left out of the loss '
            'and of every score.'
        )
    if is_mask and read == len(pairs) and key.startswith('train_'):
        raise UserError(f'{text} There is nothing to tell apart, so nothing to learn.')
    warn(text)


def _cause(wrong: Sequence[int], number: int, label: str, reading: Renumbering) -> str:
    if list(wrong) == [255] and (reading.label_map or reading.reduce_zero_label):
        return ' mmseg gives 255 to what is no class of the dataset: leave ignore_index at 255.'
    if 'labelIds' in label:
        return ' These are labelIds; train on *_gtFine_labelTrainIds.png (csCreateTrainIdLabelImgs makes them).'
    if list(wrong) == [number]:
        return ' The ids seem to count from 1: set reduce_zero_label=True if 0 means "no class", or name one class more.'
    return ' Write class numbers into the files, or set the ignore_index of dataset, heads and evaluator.'


def _expected(number: int, ignored: Ignored) -> str:
    return f'0 to {number - 1}, or {ignored.value} (not labelled: {ignored.key})'


def _ranges(numbers: Sequence[int]) -> str:
    """``0 to 3, 7 and 255``."""
    runs: List[List[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f'{run[0]} to {run[-1]}' if len(run) > 2 else ', '.join(map(str, run)) for run in runs]
    more = ', ...' if len(texts) > 8 else ''
    return ', '.join(texts[:8]) + more if texts else 'none'


def _is(step: Dict[str, Any], kind: str) -> bool:
    return str(step.get('type')).rsplit('.', 1)[-1] == kind
