"""Check a segmentation dataset: the folders, the images, and one label file for each image."""

from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable, Set

from mmengine.fileio import list_dir_or_file, list_from_file

from mm_frelu.engine.errors import UserError

from .check_paths import join, require_file, require_folder


def check_segmentation(key: str, settings: Dict[str, Any]) -> None:
    """Check the paths and the image/label pairs of a dataset derived from mmseg's ``BaseSegDataset``.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config, with defaults filled in.

    Raises:
        UserError: At the first thing that is missing.
    """
    root = settings.get('data_root')
    prefix = settings.get('data_prefix') or {}
    img_suffix, map_suffix = settings['img_suffix'], settings['seg_map_suffix']
    layout = (
        f'{prefix.get("img_path") or "."}/**/*{img_suffix} and '
        f'{prefix.get("seg_map_path") or "."}/**/*{map_suffix}'
    )
    if root:
        require_folder(f'{key}.data_root', root, layout)
    img_dir = join(root, prefix.get('img_path'))
    require_folder(f'{key}.data_prefix.img_path', img_dir, f'images *{img_suffix}')
    stems = _stems(key, settings, img_dir)

    has_labels = prefix.get('seg_map_path') is not None and _loads_labels(settings.get('pipeline'))
    if not has_labels:
        return
    map_dir = join(root, prefix['seg_map_path'])
    require_folder(f'{key}.data_prefix.seg_map_path', map_dir, f'label maps *{map_suffix}')
    labels = _listed(map_dir, map_suffix)
    without = sorted(stems - labels)
    if without:
        raise UserError(
            f'{key}: {len(without)} of {len(stems)} images have no label file, the first is '
            f'{join(img_dir, without[0])}{img_suffix}, which needs {join(map_dir, without[0])}{map_suffix}.'
            f'{_hint(map_dir, map_suffix)}'
        )


def _stems(key: str, settings: Dict[str, Any], img_dir: str) -> Set[str]:
    """Names of the images without suffix, relative to the image folder."""
    suffix = settings['img_suffix']
    ann_file = settings.get('ann_file')
    on_disk = _listed(img_dir, suffix)
    if ann_file:
        split = join(settings.get('data_root'), ann_file)
        require_file(f'{key}.ann_file', split, 'a list of image names without suffix, one per line')
        stems = {line.strip() for line in list_from_file(split)}
        absent = sorted(stems - on_disk)
        if absent:
            raise UserError(
                f'{key}.ann_file: {len(absent)} of {len(stems)} images named in {split} are missing, the first is '
                f'{join(img_dir, absent[0])}{suffix}.'
            )
        return stems
    if not on_disk:
        raise UserError(
            f'{key}.data_prefix.img_path: {img_dir} ({Path(img_dir).absolute()}) has no image that ends with {suffix!r}; '
            f'found {_endings(img_dir)}. Set img_suffix and seg_map_suffix of the dataset, or give the right folder.'
        )
    return on_disk


def _listed(folder: str, suffix: str) -> Set[str]:
    names = list_dir_or_file(folder, list_dir=False, suffix=suffix, recursive=True)
    return {name[: -len(suffix)] for name in names}


def _endings(folder: str) -> str:
    """The kinds of files that are there, most frequent first."""
    names: Iterable[str] = list_dir_or_file(folder, list_dir=False, recursive=True)
    counts = Counter(Path(name).suffix or 'no suffix' for name in names)
    return ', '.join(f'{number} {ending}' for ending, number in counts.most_common(3)) or 'no files'


def _loads_labels(pipeline: Any) -> bool:
    """A test set without ground truth has no ``LoadAnnotations`` in its pipeline, and needs no labels."""
    types = [str(step.get('type')) for step in pipeline or [] if isinstance(step, dict)]
    return any('LoadAnnotations' in kind for kind in types)


def _hint(map_dir: str, suffix: str) -> str:
    if suffix != '_gtFine_labelTrainIds.png' or not _listed(map_dir, '_gtFine_labelIds.png'):
        return f' In {map_dir} there are {_endings(map_dir)}.'
    return (
        ' The folder has the labelIds that CityScapes ships; make the train ids from them with '
        'CITYSCAPES_DATASET=<data_root> csCreateTrainIdLabelImgs.'
    )
