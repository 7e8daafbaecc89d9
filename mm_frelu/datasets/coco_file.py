"""Read a file in COCO format for the checks.

mmdet takes half a minute to load COCO's train2017, mostly for its polygons. The checks do not need polygons, so they are removed from the
text of a large file before it is parsed.
"""

import gc
import json
import mmap
import os
from typing import Any, Dict, List

from mm_frelu.engine.errors import UserError

_SEGMENTATION = b'"segmentation"'
_PARSE_UP_TO = 64 * 2**20  # bytes; COCO train2017 has seven times as many


def read_coco(where: str, path: str) -> Dict[str, Any]:
    """Read an annotation file; a large one without polygons.

    Args:
        where (str): Start of an error message: config key and file.
        path (str): The annotation file.

    Returns:
        Dict[str, Any]: The content of the file, with at least the lists of images and categories.

    Raises:
        UserError: When the file is empty, truncated, not JSON, not COCO, or has no images.
    """
    size = os.path.getsize(path)
    with open(path, 'rb') as stream:
        start = stream.read(64).lstrip()
    if not start:
        raise UserError(f'{where} is empty. Write or download the annotations again.')
    if start.startswith(b'version https://git-lfs'):
        raise UserError(f'{where} is a Git LFS pointer, not the annotations. Run `git lfs pull`.')
    collects = gc.isenabled()
    gc.disable()  # a million dicts without reference cycles; searching for cycles doubles the time
    try:
        data = _parse(where, path) if size <= _PARSE_UP_TO else _parse_large(where, path, size)
    finally:
        if collects:
            gc.enable()
    missing = [
        kind
        for kind in ('images', 'annotations', 'categories')
        if not isinstance(data, dict) or kind not in data
    ]
    if len(missing) == 3 or 'images' in missing or 'categories' in missing:
        found = ', '.join(list(data)[:5]) if isinstance(data, dict) else type(data).__name__
        raise UserError(
            f'{where} is not in COCO format: it lacks {", ".join(missing)} (found: {found}).'
        )
    if not data['images']:
        raise UserError(f'{where} has no images (its list "images" is empty).')
    return data


def _parse(where: str, path: str) -> Any:
    try:
        with open(path, encoding='utf-8') as stream:
            return json.load(stream)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f'{where} is not JSON ({error}). Write or download it again.') from None


def _parse_large(where: str, path: str, size: int) -> Any:
    with open(path, 'rb') as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if not text[max(0, size - 64) :].rstrip().endswith(b'}'):
            raise UserError(f'{where} is cut off after {size} bytes. Download it again.')
        shorter = without_polygons(text)
    try:
        return json.loads(shorter)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f'{where} is not JSON ({error}; positions do not count its polygons). Write or download it again.'
        ) from None


def without_polygons(text: Any) -> bytes:
    """Return a JSON text with an empty list in place of each list of polygons. Masks (RLE) and other text are unchanged.

    Args:
        text (bytes | mmap): The text.
    """
    parts: List[bytes] = []
    done = 0
    at = text.find(_SEGMENTATION)
    while at >= 0:
        begin = at + len(_SEGMENTATION)
        end = text.find(b']]', begin)
        if end < 0:
            break
        value = text[begin:end]
        # A list of polygons has only numbers between the key and its end.
        if b'"' in value or b'{' in value:
            at = text.find(_SEGMENTATION, begin)
            continue
        parts += (text[done:begin], b':[]')
        done = end + len(b']]')
        at = text.find(_SEGMENTATION, done)
    return b''.join((*parts, text[done:]))
