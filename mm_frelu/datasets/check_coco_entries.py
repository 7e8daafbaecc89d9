"""Check the images, categories and annotations inside a file in COCO format.

mmdet and pycocotools do not check the keys. An annotation without ``area`` causes ``KeyError: 'area'``; one without ``iscrowd`` causes
an error only after the first epoch. JSON may have NaN and Infinity, with which the loss is NaN too.
"""

import math
from typing import Any, Dict, List, Tuple

from mm_frelu.engine.errors import UserError

_KEYS = {
    'images': ('id', 'file_name', 'height', 'width'),
    'categories': ('id', 'name'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
}


def check_entries(where: str, data: Dict[str, List[Any]], need_iscrowd: bool) -> None:
    """Raise if an entry lacks a key that mmdet or pycocotools reads.

    Args:
        where (str): Start of an error message: config key and file.
        data (Dict[str, list]): The lists ``images``, ``categories`` and, if there are any, ``annotations``.
        need_iscrowd (bool): Whether every annotation must have ``iscrowd``.

    Raises:
        UserError: With the entry and the key.
    """
    for kind, keys in _KEYS.items():
        if kind == 'annotations' and need_iscrowd:
            keys += ('iscrowd',)
        needed = set(keys)
        entries = data.get(kind, [])
        if not isinstance(entries, list):
            raise UserError(
                f'{where}: {kind} is {repr(entries):.80}. Expected a list, as in COCO format.'
            )
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict) or not needed <= entry.keys():
                _refuse_keys(f'{where}: {kind}[{index}]', entry, keys)
    for index, image in enumerate(data['images']):
        _require_name(f'{where}: images[{index}]', image, 'file_name')
        _require_ids(f'{where}: images[{index}]', image, ('id',))
        _require_size(f'{where}: images[{index}]', image)
    for index, category in enumerate(data.get('categories', [])):
        _require_name(f'{where}: categories[{index}]', category, 'name')
        _require_ids(f'{where}: categories[{index}]', category, ('id',))
    for index, entry in enumerate(data.get('annotations', [])):
        if not _is_plain(entry):
            _require_ids(f'{where}: annotations[{index}]', entry, _IDS)
            _require_box(f'{where}: annotations[{index}]', entry)


def _refuse_keys(place: str, entry: Any, keys: tuple) -> None:
    absent = [key for key in keys if not isinstance(entry, dict) or key not in entry]
    found = ', '.join(entry) if isinstance(entry, dict) else repr(entry)
    raise UserError(
        f'{place} lacks {", ".join(map(repr, absent))} (found: {found or "nothing"}). '
        f'Expected in COCO format: {", ".join(keys)}.'
    )


_PLAIN = (int, float)
_IDS = ('id', 'image_id', 'category_id')


def _is_plain(entry: Dict[str, Any]) -> bool:
    """Whether box, area and crowd are valid. This check must be fast, because it runs for a million annotations."""
    box = entry['bbox']
    return (
        type(box) is list
        and len(box) == 4
        and type(box[0]) in _PLAIN
        and type(box[1]) in _PLAIN
        and type(box[2]) in _PLAIN
        and type(box[3]) in _PLAIN
        and type(entry['area']) in _PLAIN
        and math.isfinite(box[0] + box[1] + box[2] + box[3] + entry['area'])
        and type(entry['id']) is int
        and type(entry['image_id']) is int
        and type(entry['category_id']) is int
        and type(entry.get('iscrowd', 0)) is int
        and entry.get('iscrowd', 0) in (0, 1)
    )


def _require_name(place: str, entry: Dict[str, Any], key: str) -> None:
    if not isinstance(entry[key], str) or not entry[key]:
        raise UserError(f'{place}: {key} is {repr(entry[key]):.80}. Expected text.')


def _require_ids(place: str, entry: Dict[str, Any], keys: Tuple[str, ...]) -> None:
    for key in keys:  # string ids are reported elsewhere
        if isinstance(entry[key], bool) or not isinstance(entry[key], (int, str)):
            raise UserError(f'{place}: {key} is {repr(entry[key]):.80}. Expected an integer.')


def _require_size(place: str, image: Dict[str, Any]) -> None:
    for key in ('width', 'height'):
        if not _is_number(image[key]) or image[key] <= 0:
            raise UserError(
                f'{place} (id {image["id"]}, {image["file_name"]}): {key} is {image[key]!r}. Expected a number of pixels, '
                f'such as {key}: 640 and not "640", which is text. Write the file again.'
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _require_box(place: str, annotation: Dict[str, Any]) -> None:
    box, area = annotation['bbox'], annotation['area']
    numbers = [*box, area] if isinstance(box, list) and len(box) == 4 else []
    if not numbers or not all(map(_is_number, numbers)):
        raise UserError(
            f'{place} (id {annotation["id"]}): bbox is {box!r} and area {area!r}. Expected bbox as four finite '
            'numbers [x, y, width, height] in pixels, and area as one.'
        )
    # mmdet tests whether it is true, and the string "0" is
    if annotation.get('iscrowd', 0) not in (0, 1):
        raise UserError(
            f'{place} (id {annotation["id"]}): iscrowd is {annotation["iscrowd"]!r}. Expected the number 0 or 1.'
        )
