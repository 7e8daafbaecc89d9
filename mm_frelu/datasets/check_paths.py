"""Check the paths of a dataset config, and report missing ones."""

import os
import stat
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Set

from mm_frelu.engine.errors import UserError, listed

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm')
"""Suffixes of image files, in lower case."""

_UNREADABLE = 'cannot be read by this user'


def is_remote(settings: Dict[str, Any]) -> bool:
    """Whether MMEngine reads the dataset through a storage backend (S3, HTTP, Petrel); such paths are not checked."""
    backend = settings.get('backend_args') or {}
    paths = [settings.get('data_root'), settings.get('ann_file')]
    return backend.get('backend', 'local') != 'local' or any('://' in str(path) for path in paths)


def join(root: Optional[str], path: Optional[str]) -> str:
    """Join paths like MMEngine's datasets: an absolute ``path`` is unchanged, an empty one gives the root."""
    return os.path.join(root or '', path or '') or '.'


def image_prefix(key: str, settings: Dict[str, Any], name: str) -> Dict[str, Any]:
    """Return ``data_prefix`` of a dataset.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config, with defaults filled in.
        name (str): The entry with the folder of the images: ``'img'`` in mmdet and mmpose, ``'img_path'`` in mmseg.

    Raises:
        UserError: When it is not a dict, or lacks that entry.
    """
    prefix = settings.get('data_prefix')
    if not isinstance(prefix, dict) or name not in prefix:
        raise UserError(
            f'{key}.data_prefix is {prefix!r}. Expected a dict with the folder of the images, such as dict({name}="images").'
        )
    return prefix


def require_folder(key: str, path: str, content: str) -> None:
    """Raise unless ``path`` is a folder that this user may read.

    Args:
        key (str): Config key of the path.
        path (str): The joined path.
        content (str): The expected content of the folder.
    """
    folder = Path(path).expanduser().absolute()
    problem = _problem(folder, stat.S_ISDIR, 'is a file, not a folder', os.R_OK | os.X_OK)
    if problem:
        raise UserError(
            f'{key}: the folder {path} {problem} (looked for {folder}). Expected there: {content}.'
            f'{_nearest_parent(folder)} Put the data there, link it (ln -s), or give its folder: the configs of '
            'mm_frelu read the environment variables CITYSCAPES_DATASET, COCO_ROOT, IMAGENET_ROOT, OWN_DATA_ROOT, '
            'POSED_PEOPLE_ROOT and STREET_SCENES_ROOT; others have data_root.'
        )


def require_file(key: str, path: str, content: str) -> None:
    """Raise unless ``path`` is a file that this user may read. The arguments are the same as in :func:`require_folder`."""
    file = Path(path).expanduser().absolute()
    problem = _problem(file, stat.S_ISREG, 'is a folder, not a file', os.R_OK)
    if problem:
        raise UserError(
            f'{key}: the file {path} {problem} (looked for {file}). Expected: {content}.'
            f'{_nearest_parent(file)} Put it there or give another path with --cfg-options {key}=PATH.'
        )


def _problem(path: Path, is_kind: Callable[[int], bool], other_kind: str, access: int) -> str:
    """Return why a path cannot be used; empty if it can."""
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        return _UNREADABLE
    except (OSError, ValueError):  # ValueError: it contains the character NUL
        return 'does not exist'
    if not is_kind(mode):
        return other_kind
    return '' if os.access(path, access) else _UNREADABLE


def _nearest_parent(path: Path) -> str:
    """Name the deepest existing folder of a path and its content."""
    parent = path.parent
    while not os.path.isdir(parent) and parent != parent.parent:
        parent = parent.parent
    try:
        names = sorted(name for name in os.listdir(parent) if not name.startswith('.'))
    except PermissionError:
        return f' The path exists up to {parent}, which {_UNREADABLE}.'
    return f' The path exists up to {parent}, which has {listed(names, 5) or "nothing in it"}.'


def absent_files(folder: str, names: Iterable[str]) -> List[str]:
    """Return the names of missing files below a folder, in their order.

    Every folder is listed once. On a network drive that takes seconds for 100,000 names; a query per name would take minutes.
    """
    entries: Dict[str, Set[str]] = {}
    absent = []
    for name in names:
        parent, base = os.path.split(os.path.join(folder, name))
        if parent not in entries:
            entries[parent] = (
                set(os.listdir(parent or '.')) if os.path.isdir(parent or '.') else set()
            )
        if base not in entries[parent] and not os.path.isfile(os.path.join(parent, base)):
            absent.append(name)
    return absent
