"""Check a segmentation dataset: the folders, the images, and one label file for each image."""

from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Set

from mmengine.fileio import list_dir_or_file, list_from_file

from mm_frelu.engine.config_types import kind_of, steps_of
from mm_frelu.engine.errors import UserError

from .check_label_maps import check_label_maps
from .check_paths import (
    IMAGE_SUFFIXES,
    absent_files,
    image_prefix,
    join,
    require_file,
    require_folder,
)
from .ignore_index import Ignored
from .notices import tell, warn


def check_segmentation(
    key: str, settings: Dict[str, Any], cls: Optional[type], ignored: Ignored
) -> None:
    """Check the paths, the image/label pairs and a sample of the labels of a dataset derived from mmseg's ``BaseSegDataset``.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config, with defaults filled in.
        cls (type, optional): Its Python class.
        ignored (Ignored): The label of pixels that are not labelled.

    Raises:
        UserError: For the first problem found.
    """
    root = settings.get('data_root')
    prefix = image_prefix(key, settings, 'img_path')
    img_suffix, map_suffix = settings['img_suffix'], settings['seg_map_suffix']
    layout = (
        f'{prefix["img_path"] or "."}/**/*{img_suffix} and '
        f'{prefix.get("seg_map_path") or "."}/**/*{map_suffix}'
    )
    if root:
        require_folder(f'{key}.data_root', root, layout)
    img_dir = join(root, prefix['img_path'])
    require_folder(f'{key}.data_prefix.img_path', img_dir, f'images *{img_suffix}')
    stems = _stems(key, settings, img_dir)

    has_labels = prefix.get('seg_map_path') is not None and _loads_labels(settings.get('pipeline'))
    if not has_labels:
        _tell_taken(f'{key}: {len(stems)} images', _left_out(settings, img_dir))
        return
    map_dir = join(root, prefix['seg_map_path'])
    require_folder(f'{key}.data_prefix.seg_map_path', map_dir, f'label maps *{map_suffix}')
    without = absent_files(map_dir, [stem + map_suffix for stem in sorted(stems)])
    if without:
        image = without[0].removesuffix(map_suffix) + img_suffix
        raise UserError(
            f'{key}: {len(without)} of {len(stems)} images have no label file; the first is {join(img_dir, image)}, which needs '
            f'{join(map_dir, without[0])}.'
            f'{_hint(map_dir, map_suffix)}'
        )
    _tell_taken(
        f'{key}: {len(stems)} images with labels', _left_out(settings, img_dir, map_dir, map_suffix)
    )
    pairs = [
        (f'{join(img_dir, stem)}{img_suffix}', f'{join(map_dir, stem)}{map_suffix}')
        for stem in sorted(stems)
    ]
    check_label_maps(key, settings, cls, ignored, pairs)


def _stems(key: str, settings: Dict[str, Any], img_dir: str) -> Set[str]:
    """Return the names of the images without suffix, relative to the image folder."""
    suffix = settings['img_suffix']
    ann_file = settings.get('ann_file')
    if ann_file:
        split = join(settings.get('data_root'), ann_file)
        require_file(f'{key}.ann_file', split, 'a list of image names without suffix, one per line')
        lines = [line.strip() for line in list_from_file(split)]
        if not all(lines) or not lines:
            what = f'line {lines.index("") + 1} of {split}' if lines else split
            raise UserError(f'{key}.ann_file: {what} is empty. Expected an image name per line.')
        absent = absent_files(img_dir, [line + suffix for line in lines])
        if absent:
            raise UserError(
                f'{key}.ann_file: {len(absent)} of {len(lines)} images named in {split} are missing; the first is '
                f'{join(img_dir, absent[0])}. Expected names without {suffix!r}, relative to {img_dir}.'
            )
        return set(lines)
    on_disk = _listed(img_dir, suffix)
    if not on_disk:
        raise UserError(
            f'{key}.data_prefix.img_path: {img_dir} ({Path(img_dir).absolute()}) has no image that ends with {suffix!r}; '
            f'found {_endings(img_dir)}. Set img_suffix and seg_map_suffix of the dataset, or give the right folder.'
        )
    return on_disk


def _listed(folder: str, suffix: str) -> Set[str]:
    names = list_dir_or_file(folder, list_dir=False, suffix=suffix, recursive=True)
    return {name.removesuffix(suffix) for name in names}


def _tell_taken(images: str, left_out: str) -> None:
    (warn if left_out else tell)(f'{images} used{left_out}.')


def _left_out(
    settings: Dict[str, Any], img_dir: str, map_dir: str = '', map_suffix: str = ''
) -> str:
    """Count the images in the folder that the config does not use, by suffix. With a list of names, that is intended."""
    if settings.get('ann_file'):
        return ''
    taken = settings['img_suffix']
    endings = Counter(
        Path(name).suffix
        for name in list_dir_or_file(img_dir, list_dir=False, recursive=True)
        if Path(name).suffix.lower() in IMAGE_SUFFIXES
        and not name.endswith(taken)
        and not (map_suffix and name.endswith(map_suffix) and _is_below(map_dir, img_dir, name))
    )
    if not endings:
        return ''
    listed = ', '.join(f'{number} *{ending}' for ending, number in endings.most_common(4))
    return f' (left out: {listed}; img_suffix is {taken!r}. Rename them to use them)'


def _is_below(map_dir: str, img_dir: str, name: str) -> bool:
    """Whether a file is in the folder of the label maps, which may be inside the image folder."""
    return Path(map_dir).absolute() in Path(img_dir, name).absolute().parents


def _endings(folder: str) -> str:
    """List the kinds of files in a folder, most frequent first."""
    names: Iterable[str] = list_dir_or_file(folder, list_dir=False, recursive=True)
    counts = Counter(Path(name).suffix or 'no suffix' for name in names)
    return ', '.join(f'{number} {ending}' for ending, number in counts.most_common(3)) or 'no files'


def _loads_labels(pipeline: Any) -> bool:
    """Whether the pipeline has ``LoadAnnotations``. A test set without ground truth has none and needs no labels."""
    return any('LoadAnnotations' in kind_of(step) for step in steps_of(pipeline))


def _hint(map_dir: str, suffix: str) -> str:
    if suffix != '_gtFine_labelTrainIds.png' or not _listed(map_dir, '_gtFine_labelIds.png'):
        return f' In {map_dir} there are {_endings(map_dir)}.'
    return (
        ' The folder has the labelIds of the CityScapes download; create the train ids from them with '
        'CITYSCAPES_DATASET=<data_root> csCreateTrainIdLabelImgs.'
    )
