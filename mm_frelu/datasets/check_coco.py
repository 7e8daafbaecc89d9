"""Check a detection dataset in COCO format: the annotation file, its categories, the images it names.

mmdet loads a file whose categories it does not know without a word and trains on no boxes at all; and it numbers the classes in
the order of the file, so that another order in the config gives every box a wrong name.
"""

import json
import logging
import mmap
import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, List

from mmengine.logging import print_log

from mm_frelu.engine.errors import UserError

from .check_coco_classes import check_classes
from .check_coco_entries import check_entries, text_in_place_of_a_number, usable_boxes
from .check_paths import join, require_file, require_folder

_PARSE_UP_TO = (
    64 * 2**20
)  # bytes; COCO train2017 is seven times that, and mmdet has to parse it again
_HEAD = 8 * 2**20  # bytes; room for the longest list of categories in use (LVIS)


@dataclass
class CocoSummary:
    """What a check needs to know about an annotation file.

    Attributes:
        categories (List[dict]): Categories in the order of the file, each with ``id`` and ``name``.
        file_names (List[str]): Images; only the first one for a large file.
        boxes (Counter): Annotations of each category id; of a small file only those that mmdet uses.
    """

    categories: List[Dict[str, Any]]
    file_names: List[str]
    boxes: Counter


def check_coco(key: str, settings: Dict[str, Any]) -> None:
    """Check the paths, the annotation file and the classes of a dataset derived from mmdet's ``CocoDataset``.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config, with defaults filled in.

    Raises:
        UserError: At the first thing that does not fit.
    """
    root = settings.get('data_root')
    prefix = (settings.get('data_prefix') or {}).get('img')
    ann_file = join(root, settings.get('ann_file'))
    if root:
        content = f'{settings.get("ann_file")} and the images in {prefix or "."}'
        require_folder(f'{key}.data_root', root, content)
    require_file(f'{key}.ann_file', ann_file, 'annotations in COCO format (.json)')
    summary = read_summary(
        f'{key}.ann_file: {ann_file}', ann_file, evaluated=bool(settings.get('test_mode'))
    )

    img_dir = join(root, prefix)
    require_folder(f'{key}.data_prefix.img', img_dir, 'the images that the annotation file names')
    absent = [name for name in summary.file_names if not os.path.isfile(join(img_dir, name))]
    if absent:
        raise UserError(
            f'{key}.data_prefix.img: {len(absent)} of the {len(summary.file_names)} images looked for are not there, the '
            f'first is {join(img_dir, absent[0])} ({os.path.abspath(join(img_dir, absent[0]))}), named in {ann_file}. '
            f'Give the folder that file_name in the annotations starts from.'
        )
    # A test set may have no annotations: its predictions are only written (format_only).
    validates = key.startswith('val_')
    must_have_boxes = validates or not settings.get('test_mode')
    if not summary.boxes and must_have_boxes:
        purpose = 'compare with' if validates else 'learn'
        raise UserError(
            f'{key}.ann_file: {ann_file} has images but no annotations, so there is nothing to {purpose}.'
        )
    if not summary.boxes:
        print_log(
            f'{key}.ann_file: {ann_file} has images but no annotations: predictions can be written, but every score will be '
            '-1. test_evaluator.format_only=True leaves the scores out.',
            'current',
            logging.WARNING,
        )
    check_classes(
        key, ann_file, summary.categories, summary.boxes, settings.get('classes'), must_have_boxes
    )


def read_summary(where: str, path: str, evaluated: bool = False) -> CocoSummary:
    """Read what a check needs, from a large file without parsing it.

    Args:
        where (str): Start of an error message: config key and file.
        path (str): The annotation file.
        evaluated (bool): Whether results are compared with it, which needs a key more than training. Defaults to False.

    Raises:
        UserError: When the file is empty, no JSON, not COCO, has no images, or an entry lacks a key.
    """
    size = os.path.getsize(path)
    with open(path, 'rb') as stream:
        start = stream.read(64).lstrip()
    if not start:
        raise UserError(f'{where} is empty. Write or download the annotations again.')
    if start.startswith(b'version https://git-lfs'):
        raise UserError(f'{where} is a Git LFS pointer, not the annotations. Run `git lfs pull`.')
    whole = size <= _PARSE_UP_TO
    data = _parse(where, path) if whole else _skim(where, path, size)
    kinds = ('images', 'annotations', 'categories')
    missing = [kind for kind in kinds if not isinstance(data, dict) or kind not in data]
    if len(missing) == 3 or 'images' in missing or 'categories' in missing:
        found = ', '.join(list(data)[:5]) if isinstance(data, dict) else type(data).__name__
        raise UserError(
            f'{where} is not in COCO format: it lacks {", ".join(missing)} (found: {found}).'
        )
    if not data['images']:
        raise UserError(f'{where} has no images (its list "images" is empty).')
    check_entries(where, data, whole, evaluated)
    boxes = usable_boxes(data) if whole else _count_annotations(where, path, data['categories'])
    return CocoSummary(data['categories'], [image['file_name'] for image in data['images']], boxes)


def _parse(where: str, path: str) -> Any:
    try:
        with open(path, encoding='utf-8') as stream:
            return json.load(stream)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f'{where} is not JSON ({error}). Write or download it again.') from None


def _skim(where: str, path: str, size: int) -> Dict[str, list]:
    """The first image, the first annotation and all categories, found by their keys."""
    with open(path, 'rb') as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if not text[max(0, size - 64) :].rstrip().endswith(b'}'):
            raise UserError(f'{where} is cut off after {size} bytes. Download it again.')
        found: Dict[str, list] = {}
        for kind in ('images', 'annotations', 'categories'):
            key = text.find(f'"{kind}"'.encode())
            begin = text.find(b'[', key)
            if key < 0 or begin < 0:
                continue
            part = text[begin : begin + _HEAD].decode('utf-8', errors='ignore')
            decoder = json.JSONDecoder()
            if kind == 'categories':
                found[kind] = decoder.raw_decode(part)[0]
            else:
                first = part[1:].lstrip()
                found[kind] = [] if first.startswith(']') else [decoder.raw_decode(first)[0]]
        return found


def _count_annotations(where: str, path: str, categories: List[Dict[str, Any]]) -> Counter:
    """Annotations of each category id, counted in the text: a second for COCO train2017, which takes twenty to parse."""
    with open(path, 'rb') as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        found = text_in_place_of_a_number(text)
        if found is not None:
            raise UserError(f'{where}: {found}')
        counts = Counter(re.findall(rb'"category_id"\s*:\s*"?([^",}\s]+)', text))
    written = {str(category['id']): category['id'] for category in categories}
    numbers = {number.decode(errors='replace'): count for number, count in counts.items()}
    return Counter({written.get(number, number): count for number, count in numbers.items()})
