"""Locate configs and tools inside an installed library, such as ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.

MMEngine supports this notation in ``_base_``, but finds libraries by the names of their upstream distributions. It does not find an
mmseg that another distribution installed. These functions look for the package itself, without importing it.
"""

import difflib
from importlib.util import find_spec
from pathlib import Path

from .errors import UserError

LIBRARIES = ('mmdet', 'mmseg', 'mmpretrain', 'mmpose')


def is_packaged(path: str) -> bool:
    """Whether a config is given as ``library::path``."""
    return '::' in path


def folder_of(library: str, content: str, asked: str, example: str) -> Path:
    """Return the folder of configs or tools inside an installed library.

    Args:
        library: Name of the library.
        content: ``'configs'`` or ``'tools'``.
        asked: What the user asked for, as the start of an error message.
        example: A correct request, for the error message.

    Raises:
        UserError: When the library is not installed, or was installed without this folder.
    """
    spec = find_spec(library) if library in LIBRARIES else None
    if spec is None or spec.origin is None:
        known = ', '.join(found for found in LIBRARIES if find_spec(found))
        raise UserError(
            f'{asked}: no library {library!r} with {content} is installed. Installed: {known}. Write {example}.'
        )
    root = Path(spec.origin).parent / '.mim' / content
    if not root.is_dir():
        raise UserError(
            f'{asked}: the installed {library} does not include {content} (looked for {root}). Give the path of a file.'
        )
    return root


def locate(path: str) -> Path:
    """Return the file of a packaged config.

    Args:
        path: ``library::folder/name.py``. The ending may be left out.

    Raises:
        UserError: When the library is not installed or has no such config.
    """
    library, _, name = path.partition('::')
    root = folder_of(library, 'configs', f'config {path}', 'mmdet::folder/name.py')
    file = root / (name if name.endswith('.py') else f'{name}.py')
    if file.is_file():
        return file
    names = [entry.relative_to(root).as_posix() for entry in root.glob('*/*.py')]
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
    hint = f' Did you mean {library}::{nearest[0]}?' if nearest else ''
    raise UserError(f'config {path}: {library} has no such config (looked for {file}).{hint}')
