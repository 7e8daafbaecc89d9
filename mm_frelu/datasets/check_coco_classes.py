"""Check the classes of a dataset against the categories and boxes of its COCO file.

mmdet looks categories up by name. If two categories have the same name, it uses both and numbers them 0 and 1, so the numbers exceed the
head's classes. A class without boxes is not trained. If no class has boxes, no image is left.
"""

from collections import Counter
from typing import Any, Dict, List, Sequence

from mm_frelu.engine.errors import UserError, listed

from .notices import warn


def check_classes(
    key: str,
    ann_file: str,
    categories: List[Dict[str, Any]],
    boxes: Counter,
    classes: Any,
    must_have_boxes: bool,
) -> None:
    """Compare the classes of a dataset with the categories of its file.

    Args:
        key (str): Config key of the dataset.
        ann_file (str): The annotation file.
        categories (List[dict]): Its categories, each with ``id`` and ``name``.
        boxes (Counter): Number of annotations of each category id.
        classes (Any): The classes of the dataset. If it has none, or a file of names, nothing is checked.
        must_have_boxes (bool): Whether the dataset is used for training or validation. A test set may have no boxes, because its
            predictions may only be written.

    Raises:
        UserError: When the classes are not categories of the file in the same order, when two categories have the same name,
            or when no class has a box.
    """
    if not classes or isinstance(classes, str):
        return
    name, times = Counter(classes).most_common(1)[0]
    if times > 1:
        raise UserError(
            f'{key}.metainfo.classes has {name!r} {times} times. Write every class once.'
        )
    chosen = [category for category in categories if category['name'] in set(classes)]
    _require_one_category_each(key, ann_file, chosen, boxes)
    require_order(key, ann_file, [category['name'] for category in categories], classes)
    if not boxes:  # the caller has reported it
        return
    without = [category['name'] for category in chosen if not boxes.get(category['id'])]
    if len(without) == len(chosen) and must_have_boxes:
        total = sum(boxes.values())
        raise UserError(
            f'{key}: no annotation of {ann_file} belongs to the chosen class'
            f'{"" if len(classes) == 1 else "es"} ({_names(classes)}); its {total} annotations belong to '
            f'{_frequent(categories, boxes)}. There is nothing to learn from or to compare with: choose other classes '
            '(metainfo.classes) or another split.'
        )
    if without:
        warn(
            f'{key}: {len(without)} of the {len(classes)} classes have no annotation in {ann_file}: {_names(without)}. '
            'They are not trained, and their AP is nan.'
        )


def _require_one_category_each(
    key: str, ann_file: str, chosen: Sequence[Dict[str, Any]], boxes: Counter
) -> None:
    name, times = (
        Counter(category['name'] for category in chosen).most_common(1)[0] if chosen else ('', 0)
    )
    if times < 2:
        return
    entries = [
        f'id {category["id"]} with {boxes.get(category["id"], 0)} annotations'
        for category in chosen
        if category['name'] == name
    ]
    raise UserError(
        f'{key}: {times} categories of {ann_file} have the name {name!r} ({", ".join(entries)}), and mmdet would count them '
        'as different classes. Rename or remove one of them in "categories" (Roboflow exports an empty one with id 0), and give '
        'their annotations the same category_id.'
    )


def require_order(key: str, ann_file: str, found: List[str], classes: Sequence[str]) -> None:
    """Raise unless the classes of the dataset are categories of the file, in the same order."""
    absent = [name for name in classes if name not in found]
    advice = f'Write metainfo=dict(classes=({_names(found, 8)})) in the dataset and that number as num_classes of the head.'
    if len(absent) == len(classes):
        raise UserError(
            f'{key}: none of the {len(classes)} classes ({_names(classes)}) is a category of {ann_file}, which has '
            f'{len(found)}: {_names(found)}. mmdet would train on no boxes. {advice}'
        )
    if absent:
        raise UserError(
            f'{key}: {len(absent)} of the {len(classes)} classes are not categories of {ann_file}: {_names(absent)}. '
            f'mmdet numbers only those it finds, so every later class would get a wrong number. {advice}'
        )
    order = [name for name in found if name in set(classes)]
    if order != list(classes):
        place = next(index for index, pair in enumerate(zip(order, classes)) if len(set(pair)) > 1)
        raise UserError(
            f'{key}: class {place} is {classes[place]!r} in the config but {order[place]!r} in {ann_file}. mmdet numbers '
            f"classes in the file's order, so names and boxes would not match. Put metainfo.classes in that order."
        )


def _frequent(categories: Sequence[Dict[str, Any]], boxes: Counter) -> str:
    """List the categories with the most annotations."""
    names = {category['id']: category['name'] for category in categories}
    return ', '.join(f'{names[number]!r} ({count})' for number, count in boxes.most_common(3))


def _names(names: Sequence[str], number: int = 5) -> str:
    return listed(map(repr, names), number)
