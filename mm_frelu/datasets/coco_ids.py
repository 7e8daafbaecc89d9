"""Check the ids inside a COCO file, by which mmdet and pycocotools identify images, categories and annotations."""

from typing import Any, Dict, List, Optional

from mm_frelu.engine.errors import UserError


def check_ids(where: str, data: Dict[str, List[Any]]) -> None:
    """Raise if two images, categories or annotations have the same id.

    mmdet checks only annotations, after reading the file. If two images or categories have the same id, it keeps the last one without
    a message, and assigns it the boxes of both.

    Args:
        where (str): Start of an error message: config key and file.
        data (Dict[str, list]): The file.

    Raises:
        UserError: With both entries.
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
                continue  # an exact duplicate: both libraries keep one
            raise UserError(
                f'{where}: {_times(data[kind], entry["id"])} {kind} have the id {entry["id"]!r}, {kind}[{other}] ({name} '
                f'{first[name]!r}) and {kind}[{index}] ({name} {entry[name]!r}) for example; ids must be unique. '
                'Renumber them, and the entries that refer to them.'
            )


def listed_under_several_ids(data: Dict[str, List[Any]]) -> Optional[str]:
    """Return a warning about images with several entries. Each entry has some of the boxes; the others count as background there."""
    ids: Dict[str, List[Any]] = {}
    for image in data['images']:
        ids.setdefault(image['file_name'], []).append(image['id'])
    twice = {name: found for name, found in ids.items() if len(set(found)) > 1}
    if not twice:
        return None
    name, found = next(iter(twice.items()))
    return (
        f'{len(twice)} images are listed under several ids, {name} for example under {found[0]!r} and {found[1]!r}: each of '
        'these entries lacks the boxes of the others. Keep one entry per image, and give all its boxes that image_id.'
    )


def _times(entries: List[Dict[str, Any]], number: Any) -> int:
    return sum(entry['id'] == number for entry in entries)
