"""Check a classification dataset: one folder of pictures for each class."""

from pathlib import Path
from typing import Any, Dict

from mm_frelu.engine.errors import UserError

from .check_paths import join, require_file, require_folder


def check_classification(key: str, settings: Dict[str, Any]) -> None:
    """Check the folders of a dataset derived from mmpretrain's ``CustomDataset``.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config, with defaults filled in.

    Raises:
        UserError: At the first thing that is missing, or when there are not as many folders as classes.
    """
    root, prefix = settings.get('data_root'), settings.get('data_prefix') or settings.get('split')
    if isinstance(prefix, dict):
        prefix = prefix.get('img_path')
    layout = f'{prefix}/<class>/<picture>' if prefix else '<class>/<picture>'
    if root:
        require_folder(f'{key}.data_root', root, layout)
    folder = join(root, prefix)
    require_folder(f'{key}.data_prefix', folder, 'a folder for each class, with its pictures')
    if settings.get('ann_file'):
        require_file(f'{key}.ann_file', join(root, settings['ann_file']), 'a line for each picture')
        return
    if not settings.get('with_label', True):
        return
    found = sorted(entry.name for entry in Path(folder).expanduser().iterdir() if entry.is_dir())
    classes = settings.get('classes')
    # mmpretrain takes a list of pictures from meta/ where ImageNet is laid out without class folders.
    listed = root and (Path(root).expanduser() / 'meta' / f'{settings.get("split")}.txt').is_file()
    if listed or (found and (classes is None or len(classes) == len(found))):
        return
    expected = (
        f'{len(classes)} folders, one for each class' if classes else 'a folder for each class'
    )
    raise UserError(
        f'{key}: {folder} has {len(found)} folders{_first(found)}; expected {expected}. For classes of your own write '
        "type='CustomDataset' in place of 'ImageNet', and their number in model.head.num_classes and "
        'data_preprocessor.num_classes.'
    )


def _first(names: list) -> str:
    return f' ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})' if names else ''
