"""Check that results are compared with the annotation file that the images come from.

``CocoMetric`` has its own annotation path and identifies images by their ids. With a different file, or with two files that use the same
ids, it compares each image with the boxes of another one and prints a wrong AP.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional

from mmengine.config import Config

from mm_frelu.engine.config_types import kind_of, metrics_of
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
        images (Dict[Any, str]): File names of its images, by image id.
        settings (Dict[str, Any]): Config of the dataset, with defaults filled in.
    """

    key: str
    ann_file: str
    images: Dict[Any, str]
    settings: Dict[str, Any]


def check_evaluator(cfg: Config, key: str, datasets: List[Loaded]) -> None:
    """Check every metric with an annotation file against the datasets of its dataloader.

    Args:
        cfg (Config): A whole config.
        key (str): Key of the evaluator: a metric, a list of metrics, or a dict with ``metrics``.
        datasets (List[Loaded]): The COCO datasets that the dataloader reads; empty for other kinds.

    Raises:
        UserError: When a file is missing, has other images under the ids of the dataset, or lacks its images or classes; or
            when two datasets of one metric use the same image ids.
    """
    evaluator = cfg.get(key)
    if isinstance(evaluator, dict) and isinstance(evaluator.get('metrics'), (list, tuple)):
        # MultiDatasetsEvaluator: one metric for each dataset.
        metrics = list(metrics_of(evaluator, 'metrics'))
        for index, (place, metric) in enumerate(metrics):
            own = datasets[index : index + 1] if len(metrics) == len(datasets) else datasets
            _check_metric(metric, f'{key}.{place}', own)
        return
    for place, metric in metrics_of(cfg, key):
        _check_metric(metric, place, datasets)


def _check_metric(metric: Dict[str, Any], key: str, datasets: List[Loaded]) -> None:
    if 'CocoMetric' not in kind_of(metric):
        datasets = []
    ann_file = metric.get('ann_file')
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
    """Raise if two files use the same image ids. That is fine for training, but not for one metric that compares with both."""
    seen: Dict[Any, Loaded] = {}
    for dataset in datasets:
        for number, name in dataset.images.items():
            other = seen.setdefault(number, dataset)
            if other is not dataset:
                raise UserError(
                    f'{key}: {other.ann_file} and {dataset.ann_file} both have an image with the id {number!r} '
                    f'({other.images[number]} and {name}), and the metric identifies images by their ids. Renumber the images '
                    "of one file, or test the files separately (or with type='MultiDatasetsEvaluator')."
                )


def _warn_of_a_part(key: str, datasets: List[Loaded]) -> None:
    for dataset in datasets:
        settings = dataset.settings
        filters = None if settings.get('test_mode') else settings.get('filter_cfg')
        if settings.get('indices') is not None:
            what, remedy = 'indices selects', 'Write that part to a file, and use it for both'
        elif filters:
            what, remedy = (
                f'filter_cfg={dict(filters)} selects',
                f'Set {dataset.key}.test_mode=True',
            )
        else:
            continue
        warn(
            f'{dataset.key}.{what} a part of {dataset.ann_file}, but {key} compares with all of its images: the boxes of the '
            f'other images count as missed. {remedy}.'
        )


def _compare(key: str, ann_file: str, datasets: List[Loaded]) -> None:
    data = read_checked(f'{key}.ann_file: {ann_file}', ann_file, need_iscrowd=True)
    found = names_by_id(data)
    source = ' and '.join(dataset.ann_file for dataset in datasets)
    remedy = f'Give {key}.ann_file the file that {datasets[0].key} reads.'
    for dataset in datasets:
        names = [os.path.basename(name) for name in dataset.images.values()]
        # Compare without folders, which depend on data_prefix, if names alone are unique.
        by_name = len(set(names)) == len(names)
        for number, name in dataset.images.items():
            told = found.get(number)
            if told is None or not _same_file(told, name, by_name):
                what = 'no image' if told is None else told
                raise UserError(
                    f'{key}.ann_file: {ann_file} is not the file of the dataloader, {source}: the image with the id {number!r} '
                    f'is {name} in the dataloader and {what} in this file. Results would be compared with the boxes of other '
                    f'images. {remedy}'
                )
    surplus = len(found) - sum(len(dataset.images) for dataset in datasets)
    if surplus:
        raise UserError(
            f'{key}.ann_file: {ann_file} has {surplus} images more than the file of the dataloader, {source}. All their boxes '
            f'would count as missed. {remedy}'
        )
    classes: Optional[Any] = datasets[0].settings.get('classes')
    if classes and not isinstance(classes, str):
        names = [category['name'] for category in data['categories']]
        require_order(f'{key}.ann_file', ann_file, names, classes)
    warn(
        f'{key}.ann_file is {ann_file}, but {datasets[0].key} reads {source}: the images and their ids are the same, but the '
        f'boxes may differ. {remedy}'
    )


def _same_file(first: str, second: str, by_name: bool) -> bool:
    if by_name:
        return os.path.basename(first) == os.path.basename(second)
    return f'/{first}'.endswith(f'/{second}') or f'/{second}'.endswith(f'/{first}')
