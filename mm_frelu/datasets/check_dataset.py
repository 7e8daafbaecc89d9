"""Check the datasets of a config before anything is built, so that a wrong path is reported within seconds.

The checks read folders, the pairs of images and labels, annotation files, the headers of some images, and some label maps.
"""

import inspect
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS

from mm_frelu.engine.config_types import class_of
from mm_frelu.engine.errors import UserError

from .check_classes import check_num_classes
from .check_classification import check_classification
from .check_coco import check_coco
from .check_evaluator import Loaded, check_evaluator
from .check_keypoints import check_keypoints
from .check_labels import check_labels
from .check_paths import is_remote, join, require_file, require_folder
from .check_segmentation import check_segmentation
from .ignore_index import ignored_label


def check_datasets(cfg: Config, loaders: Sequence[str]) -> None:
    """Check every dataset that the given dataloaders read.

    Args:
        cfg (Config): A whole training or test config.
        loaders (Sequence[str]): Config keys, e.g. ``('train_dataloader', 'val_dataloader')``; absent ones are skipped.

    Raises:
        UserError: With the config key, the path, what was expected and found, and what to do.
    """
    for loader in loaders:
        dataloader = cfg.get(loader)
        if not dataloader:
            continue
        if not isinstance(dataloader, dict):
            raise UserError(
                f'{loader}={dataloader!r} is not a dict with a dataset. Look for a typo in the config.'
            )
        coco: List[Loaded] = []
        for key, dataset in leaf_datasets(dataloader.get('dataset'), f'{loader}.dataset'):
            cls = class_of(dataset, DATASETS, cfg.get('default_scope'))
            settings = with_defaults(dataset, cls)
            if is_remote(settings):
                continue
            bases = {base.__name__ for base in cls.__mro__} if cls else set()
            reader = _reader(cls)
            if reader == 'BaseSegDataset':
                check_segmentation(key, settings, cls, ignored_label(cfg, loader))
            elif reader:
                if 'BaseCocoStyleDataset' in bases:
                    images = check_keypoints(key, settings, cls, cfg.get('model'))
                else:
                    images = check_coco(key, settings)
                ann_file = join(settings.get('data_root'), settings.get('ann_file'))
                coco.append(Loaded(key, ann_file, images, settings))
            elif 'CustomDataset' in bases and cfg.get('default_scope') == 'mmpretrain':
                check_classification(key, settings)
            else:
                _check_other(key, settings)
            check_labels(cfg, loader, key, dataset)
            check_num_classes(cfg.get('model'), key, settings, cls)
        check_evaluator(cfg, loader.replace('dataloader', 'evaluator'), coco)


def leaf_datasets(dataset: Any, key: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield the datasets inside wrappers such as RepeatDataset and ConcatDataset, each with its config key."""
    if not isinstance(dataset, dict):
        return
    if isinstance(dataset.get('dataset'), dict):
        yield from leaf_datasets(dataset['dataset'], f'{key}.dataset')
    elif isinstance(dataset.get('datasets'), (list, tuple)):
        for index, child in enumerate(dataset['datasets']):
            yield from leaf_datasets(child, f'{key}.datasets.{index}')
    else:
        yield key, dataset


def _reader(cls: Optional[type]) -> Optional[str]:
    """Return the class of mmdet, mmseg or mmpose that reads the files of a dataset; None if it reads them in its own way.

    Some subclasses read another format (mmdet's LVISV1Dataset and CocoPanopticDataset, mmseg's DecathlonDataset, mmpose's
    MpiiDataset) or change the file names (mmdet's Objects365V2Dataset).
    """
    for base in cls.__mro__ if cls else ():
        if base.__name__ in ('BaseSegDataset', 'CocoDataset', 'BaseCocoStyleDataset'):
            return base.__name__
        if vars(base).keys() & {'load_data_list', '_load_annotations', 'COCOAPI'}:
            return None
    return None


def with_defaults(dataset: Dict[str, Any], cls: Optional[type]) -> Dict[str, Any]:
    """Return a dataset config with the default arguments of its Python class, and the names of its classes.

    For example, ``CityscapesDataset`` sets both file suffixes and its 19 classes in the code.
    """
    settings: Dict[str, Any] = {}
    for base in reversed(cls.__mro__ if cls else ()):
        if '__init__' in vars(base):
            parameters = inspect.signature(vars(base)['__init__']).parameters.values()
            settings.update({p.name: p.default for p in parameters if p.default is not p.empty})
    settings.update(dataset)
    metainfo = dict(getattr(cls, 'METAINFO', {}))
    metainfo.update(dataset.get('metainfo') or {})
    settings['classes'] = metainfo.get('classes', metainfo.get('CLASSES'))
    return settings


def _check_other(key: str, settings: Dict[str, Any]) -> None:
    """Check a dataset of another kind: its root and its annotation file must exist."""
    root = settings.get('data_root')
    if root:
        require_folder(f'{key}.data_root', root, 'the dataset')
    if settings.get('ann_file'):
        require_file(f'{key}.ann_file', join(root, settings['ann_file']), 'the annotations')
