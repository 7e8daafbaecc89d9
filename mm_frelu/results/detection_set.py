"""Test set of a detection config: its images and annotations, for any dataset class of mmdet."""

import contextlib
from pathlib import Path
from typing import Any, Dict, Hashable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from pycocotools.coco import COCO

from mm_frelu.datasets.check_coco import read_checked
from mm_frelu.datasets.check_dataset import check_datasets, leaf_datasets
from mm_frelu.datasets.class_colors import class_colors
from mm_frelu.datasets.coco_counts import count_coco
from mm_frelu.engine.arguments import require_library, task_of
from mm_frelu.engine.errors import UserError, listed
from mm_frelu.evaluation.boxes import TrueBoxes


class TrueImage(NamedTuple):
    """An image with its annotations.

    Attributes:
        path: The file.
        size: Width and height according to the annotations.
        truth: The annotations.
    """

    path: Path
    size: Tuple[int, int]
    truth: TrueBoxes


class DetectionSet(NamedTuple):
    """A test set.

    Attributes:
        name: Config key and file, for messages.
        classes: Names of the classes.
        palette: One RGB colour for each class, or None.
        images: Images by the id that predictions use.
    """

    name: str
    classes: Tuple[str, ...]
    palette: Optional[List[Sequence[int]]]
    images: Dict[Hashable, TrueImage]

    @property
    def truth(self) -> Dict[Hashable, TrueBoxes]:
        """The annotations by image id."""
        return {key: image.truth for key, image in self.images.items()}


def load_detection_set(cfg: Config, config: str) -> DetectionSet:
    """Read the annotations of a config's test set. Images are not opened.

    Args:
        cfg: The config.
        config: Its name, for messages.

    Returns:
        The test set. For a COCO file it has what CocoMetric evaluates: every annotation of the classes, with its area.

    Raises:
        UserError: If this is not a detection config, or its dataset cannot be read.
    """
    task = task_of(cfg)
    if task != 'detection':
        raise UserError(f'{config} is a {task} config; expected one for detection.')
    require_library(cfg)
    check_datasets(cfg, ('test_dataloader',))
    leaves = list(
        leaf_datasets((cfg.get('test_dataloader') or {}).get('dataset'), 'test_dataloader.dataset')
    )
    if len(leaves) != 1:
        raise UserError(
            f'{config}: test_dataloader.dataset consists of {len(leaves)} datasets; expected one, so that the predictions can be '
            'compared with its annotations. Use a config with a single test dataset.'
        )
    key, settings = leaves[0]
    return build_detection_set(f'{config}: {key}', dict(settings))


def build_detection_set(name: str, settings: Dict[str, Any]) -> DetectionSet:
    """Build a dataset of mmdet and read its annotations.

    Args:
        name: Its name, for messages.
        settings: Its config.
    """
    from mmdet.registry import DATASETS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    settings = {**settings, 'pipeline': [], 'test_mode': True}
    try:
        # pycocotools reports each step.
        with DefaultScope.overwrite_default_scope('mmdet'), contextlib.redirect_stdout(None):
            dataset = DATASETS.build(settings)
    except Exception as error:  # dataset classes raise different errors
        raise UserError(
            f'{name}, a {settings.get("type")}, cannot be read ({error}). Correct its annotation file or settings.'
        ) from error
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    truths = _of_coco(dataset, infos) if hasattr(dataset, 'cat_ids') else map(_of_info, infos)
    images = {
        info['img_id']: TrueImage(Path(info['img_path']), (info['width'], info['height']), truth)
        for info, truth in zip(infos, truths)
    }
    return DetectionSet(name, tuple(dataset.metainfo['classes']), class_colors(dataset), images)


def read_annotations(option: str, path: str, classes: Sequence[str]) -> DetectionSet:
    """Read a file in COCO format that is given by an option, not by a config.

    Args:
        option: The option, for messages.
        path: The file.
        classes: Names of the classes to use. The file may lack some of them.

    Raises:
        UserError: If the file does not exist, is not in COCO format, or has none of the classes or no usable annotation.
    """
    where = f'{option} {path}'
    if not Path(path).is_file():
        raise UserError(f'{where}: there is no such file. Give annotations in COCO format.')
    found = read_checked(where, path, need_iscrowd=False)
    names = [category['name'] for category in found['categories']]
    if not set(names) & set(classes):
        raise UserError(
            f'{where} has the categories {listed(names)}, but the models have the classes {listed(classes)}. Give the annotations '
            'of a dataset with the classes that the models were trained on.'
        )
    counts = count_coco(found, dict(classes=classes))
    if counts.boxes and not counts.usable:
        raise UserError(f'{where} {counts.why_unusable()}. Correct the annotations.')
    meta = dict(classes=tuple(classes))
    settings = dict(type='CocoDataset', ann_file=path, data_prefix=dict(img=''), metainfo=meta)
    return build_detection_set(where, settings)


def _of_info(info: Dict[str, Any]) -> TrueBoxes:
    instances = info.get('instances') or []
    return TrueBoxes.of(
        [instance['bbox'] for instance in instances],
        [instance['bbox_label'] for instance in instances],
        [bool(instance.get('ignore_flag')) for instance in instances],
    )


def _of_coco(dataset: Any, infos: List[Dict[str, Any]]) -> List[TrueBoxes]:
    """Read the annotations from the file like CocoMetric. mmdet's instances have no area, and lack the smallest boxes."""
    with contextlib.redirect_stdout(None):
        coco = COCO(dataset.ann_file)
    # By name: mmdet numbers the categories in the file, so a category that is missing there would shift the later ones.
    classes = list(dataset.metainfo['classes'])
    numbers = {
        category: classes.index(entry['name'])
        for category, entry in coco.cats.items()
        if entry['name'] in classes
    }
    truths = []
    for info in infos:
        found = [
            annotation
            for annotation in coco.imgToAnns[info['img_id']]
            if annotation['category_id'] in numbers
        ]
        boxes = np.array([annotation['bbox'] for annotation in found], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        truths.append(
            TrueBoxes.of(
                boxes,
                [numbers[annotation['category_id']] for annotation in found],
                # COCOeval overwrites "ignore" with it.
                [bool(annotation.get('iscrowd')) for annotation in found],
                [annotation['area'] for annotation in found],
            )
        )
    return truths
