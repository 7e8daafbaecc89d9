"""Check a classification dataset: one folder of images for each class."""

from pathlib import Path
from typing import Any, Dict

from mm_frelu.engine.errors import UserError, listed

from .check_paths import join, require_file, require_folder


def check_classification(key: str, settings: Dict[str, Any]) -> None:
    """Check the folders of a dataset derived from mmpretrain's ``CustomDataset``.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config, with defaults filled in.

    Raises:
        UserError: For the first missing folder or file, or when the number of folders differs from the number of classes.
    """
    root, prefix = settings.get('data_root'), settings.get('data_prefix') or settings.get('split')
    if isinstance(prefix, dict):
        prefix = prefix.get('img_path')
    layout = f'{prefix}/<class>/<image>' if prefix else '<class>/<image>'
    if root:
        require_folder(f'{key}.data_root', root, layout)
    folder = join(root, prefix)
    require_folder(f'{key}.data_prefix', folder, 'a folder for each class, with its images')
    if settings.get('ann_file'):
        require_file(f'{key}.ann_file', join(root, settings['ann_file']), 'a line for each image')
        return
    if not settings.get('with_label', True):
        return
    found = sorted(entry.name for entry in Path(folder).expanduser().iterdir() if entry.is_dir())
    classes = settings.get('classes')
    # For ImageNet without class folders, mmpretrain reads a list of images from meta/.
    has_list = (
        root and (Path(root).expanduser() / 'meta' / f'{settings.get("split")}.txt').is_file()
    )
    if has_list or (found and (classes is None or len(classes) == len(found))):
        return
    expected = (
        f'{len(classes)} folders, one for each class' if classes else 'a folder for each class'
    )
    raise UserError(
        f'{key}: {folder} has {len(found)} folders{f" ({listed(found, 3)})" if found else ""}; expected {expected}. For your own classes use '
        "type='CustomDataset' instead of 'ImageNet', and set model.head.num_classes and data_preprocessor.num_classes "
        'to their number.'
    )
