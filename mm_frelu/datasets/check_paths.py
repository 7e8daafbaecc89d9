"""Check the paths of a dataset config, and report missing ones."""

import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Set

from mm_frelu.engine.errors import UserError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm')
"""Suffixes of image files, in lower case."""


def is_remote(settings: Dict[str, Any]) -> bool:
    """Whether MMEngine reads the dataset through a storage backend (S3, HTTP, Petrel); such paths are not checked."""
    backend = settings.get('backend_args') or {}
    paths = [settings.get('data_root'), settings.get('ann_file')]
    return backend.get('backend', 'local') != 'local' or any('://' in str(path) for path in paths)


def join(root: Optional[str], path: Optional[str]) -> str:
    """Join paths like MMEngine's datasets: an absolute ``path`` is unchanged, an empty one gives the root."""
    return os.path.join(root or '', path or '') or '.'


def require_folder(key: str, path: str, content: str) -> None:
    """Raise unless ``path`` is a folder.

    Args:
        key (str): Config key of the path.
        path (str): The joined path.
        content (str): The expected content of the folder.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return
    what = 'is a file, not a folder' if folder.is_file() else 'does not exist'
    raise UserError(
        f'{key}: the folder {path} {what} (looked for {folder.absolute()}). Expected there: {content}.'
        f'{_nearest_parent(folder)} Put the data there, link it (ln -s), or give its folder: the configs of '
        'mm_frelu read the environment variables CITYSCAPES_DATASET, COCO_ROOT, IMAGENET_ROOT, OWN_DATA_ROOT, '
        'POSED_PEOPLE_ROOT and STREET_SCENES_ROOT; others have data_root.'
    )


def require_file(key: str, path: str, content: str) -> None:
    """Raise unless ``path`` is a file. The arguments are the same as in :func:`require_folder`."""
    file = Path(path).expanduser()
    if file.is_file():
        return
    what = 'is a folder, not a file' if file.is_dir() else 'does not exist'
    raise UserError(
        f'{key}: the file {path} {what} (looked for {file.absolute()}). Expected: {content}.'
        f'{_nearest_parent(file)} Put it there or give another path with --cfg-options {key}=PATH.'
    )


def _nearest_parent(path: Path) -> str:
    """Name the deepest existing folder of a path and its content."""
    parent = path.absolute().parent
    while not parent.is_dir() and parent != parent.parent:
        parent = parent.parent
    names = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith('.'))
    shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
    return f' The path exists up to {parent}, which has {shown or "nothing in it"}.'


def absent_files(folder: str, names: Iterable[str]) -> List[str]:
    """Return the names of missing files below a folder, in their order.

    Every folder is listed once. On a network drive that takes seconds for 100,000 names; a query per name would take minutes.
    """
    listed: Dict[str, Set[str]] = {}
    absent = []
    for name in names:
        parent, base = os.path.split(os.path.join(folder, name))
        if parent not in listed:
            listed[parent] = (
                set(os.listdir(parent or '.')) if os.path.isdir(parent or '.') else set()
            )
        if base not in listed[parent] and not os.path.isfile(os.path.join(parent, base)):
            absent.append(name)
    return absent
