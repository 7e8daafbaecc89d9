"""Is the file that results are compared with the one that the images come from?

``CocoMetric`` reads annotations from a path of its own and tells images by their ids. With another file, or with two files that
number their images alike, it compares each image with the boxes of another one, and prints the AP of that.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional

from mm_frelu.engine.errors import UserError

from .check_coco import names_by_id, read_checked
from .check_coco_classes import require_order
from .check_paths import require_file
from .notices import warn


class Loaded(NamedTuple):
    """A COCO dataset that a dataloader reads.

    Attributes:
        key (str): Config key of the dataset.
        ann_file (str): Its annotation file.
        images (Dict[Any, str]): The images of the file, file names by id.
        settings (Dict[str, Any]): Config of the dataset, with defaults filled in.
    """

    key: str
    ann_file: str
    images: Dict[Any, str]
    settings: Dict[str, Any]


def check_evaluator(evaluators: Any, key: str, datasets: List[Loaded]) -> None:
    """Check every metric with an annotation file against the datasets of its dataloader.

    Args:
        evaluators (Any): The config's evaluator: a metric, a list of metrics, or one that holds ``metrics``.
        key (str): Its config key.
        datasets (List[Loaded]): The COCO datasets that the dataloader reads; none for other kinds.

    Raises:
        UserError: When a file is missing, has other images under the ids of the dataset, or lacks its images or classes; or
            when two datasets of one metric number their images alike.
    """
    if isinstance(evaluators, dict) and isinstance(evaluators.get('metrics'), (list, tuple)):
        # MultiDatasetsEvaluator: one metric for each dataset.
        metrics = list(evaluators['metrics'])
        for index, metric in enumerate(metrics):
            own = datasets[index : index + 1] if len(metrics) == len(datasets) else datasets
            _check_metric(metric, f'{key}.metrics.{index}', own)
        return
    for metric in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
        _check_metric(metric, key, datasets)


def _check_metric(metric: Any, key: str, datasets: List[Loaded]) -> None:
    if not isinstance(metric, dict) or 'CocoMetric' not in str(metric.get('type')):
        datasets = []
    ann_file = metric.get('ann_file') if isinstance(metric, dict) else None
    if not ann_file and not datasets:
        return
    if ann_file:
        if '://' in ann_file:
            return
        require_file(f'{key}.ann_file', ann_file, 'the annotation file of that dataloader')
    _require_different_ids(key, datasets)
    if not ann_file or not datasets:
        return
    _warn_of_a_part(key, datasets)
    if len(datasets) == 1 and os.path.samefile(ann_file, datasets[0].ann_file):
        return
    _compare(key, ann_file, datasets)


def _require_different_ids(key: str, datasets: List[Loaded]) -> None:
    """Two files may both count their images from 1: fine for training, not for a metric that is given both."""
    seen: Dict[Any, Loaded] = {}
    for dataset in datasets:
        for number, name in dataset.images.items():
            other = seen.setdefault(number, dataset)
            if other is not dataset:
                raise UserError(
                    f'{key}: {other.ann_file} and {dataset.ann_file} both have an image with the id {number!r} '
                    f'({other.images[number]} and {name}), and the metric tells images by their ids. Number the images of one '
                    "file anew, or test one file after the other (or with type='MultiDatasetsEvaluator')."
                )


def _warn_of_a_part(key: str, datasets: List[Loaded]) -> None:
    for dataset in datasets:
        settings = dataset.settings
        filters = None if settings.get('test_mode') else settings.get('filter_cfg')
        if settings.get('indices') is not None:
            what, remedy = 'indices takes', 'Write a file of that part, and give it to both'
        elif filters:
            what, remedy = f'filter_cfg={dict(filters)} takes', f'Set {dataset.key}.test_mode=True'
        else:
            continue
        warn(
            f'{dataset.key}.{what} a part of {dataset.ann_file}, but {key} compares with all of its images: the boxes of the '
            f'others count as missed. {remedy}.'
        )


def _compare(key: str, ann_file: str, datasets: List[Loaded]) -> None:
    data = read_checked(f'{key}.ann_file: {ann_file}', ann_file, evaluated=True)
    found = names_by_id(data)
    source = ' and '.join(dataset.ann_file for dataset in datasets)
    remedy = f'Give {key}.ann_file the file that {datasets[0].key} reads.'
    for dataset in datasets:
        names = [os.path.basename(name) for name in dataset.images.values()]
        # The folders before a name depend on data_prefix, unless they are what tells images apart.
        by_name = len(set(names)) == len(names)
        for number, name in dataset.images.items():
            told = found.get(number)
            if told is None or not _same_file(told, name, by_name):
                what = 'no image' if told is None else told
                raise UserError(
                    f'{key}.ann_file: {ann_file} is not the file of the dataloader, {source}: the image with the id {number!r} '
                    f'is {name} there and {what} here. Results would be compared with the boxes of other images. {remedy}'
                )
    surplus = len(found) - sum(len(dataset.images) for dataset in datasets)
    if surplus:
        raise UserError(
            f'{key}.ann_file: {ann_file} has {surplus} images more than the file of the dataloader, {source}. Their boxes would '
            f'all count as missed. {remedy}'
        )
    classes: Optional[Any] = datasets[0].settings.get('classes')
    if classes and not isinstance(classes, str):
        names = [category['name'] for category in data['categories']]
        require_order(f'{key}.ann_file', ann_file, names, classes)
    warn(
        f'{key}.ann_file is {ann_file}, but {datasets[0].key} reads {source}: the same images under the same ids, and perhaps '
        f'other boxes. {remedy}'
    )


def _same_file(first: str, second: str, by_name: bool) -> bool:
    if by_name:
        return os.path.basename(first) == os.path.basename(second)
    return f'/{first}'.endswith(f'/{second}') or f'/{second}'.endswith(f'/{first}')
