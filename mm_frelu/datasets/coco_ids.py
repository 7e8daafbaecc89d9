"""Check the ids inside a COCO file: by them mmdet and pycocotools tell images, categories and annotations apart."""

from typing import Any, Dict, List, Optional

from mm_frelu.engine.errors import UserError


def check_ids(where: str, data: Dict[str, List[Any]]) -> None:
    """Refuse ids that two images, categories or annotations share.

    mmdet asserts it of annotations, once it has read the file. Of two images or categories with one id it keeps the last, without
    a word, and gives it the boxes of both.

    Args:
        where (str): Start of an error message: config key and file.
        data (Dict[str, list]): The file.

    Raises:
        UserError: Naming both entries.
    """
    for kind, name in (
        ('images', 'file_name'),
        ('categories', 'name'),
        ('annotations', 'image_id'),
    ):
        seen: Dict[Any, int] = {}
        for index, entry in enumerate(data.get(kind, [])):
            other = seen.setdefault(entry['id'], index)
            if other == index:
                continue
            first = data[kind][other]
            if kind == 'images' and first == entry:
                continue  # written twice: both libraries keep one
            raise UserError(
                f'{where}: {_times(data[kind], entry["id"])} {kind} have the id {entry["id"]!r}, {kind}[{other}] ({name} '
                f'{first[name]!r}) and {kind}[{index}] ({name} {entry[name]!r}) for example; every one needs an id of its own. '
                'Number them anew, and what refers to them.'
            )


def listed_under_several_ids(data: Dict[str, List[Any]]) -> Optional[str]:
    """What to say of a picture that several entries name: each has a part of its boxes, and the rest is background there."""
    ids: Dict[str, List[Any]] = {}
    for image in data['images']:
        ids.setdefault(image['file_name'], []).append(image['id'])
    twice = {name: found for name, found in ids.items() if len(set(found)) > 1}
    if not twice:
        return None
    name, found = next(iter(twice.items()))
    return (
        f'{len(twice)} pictures are listed under several ids, {name} for example under {found[0]!r} and {found[1]!r}: in each of '
        'them the boxes of the others are missing. Give a picture one entry, and all of its boxes that image_id.'
    )


def _times(entries: List[Dict[str, Any]], number: Any) -> int:
    return sum(entry['id'] == number for entry in entries)
