"""Configs that come inside an installed library, ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``, and the folder of its tools.

MMEngine knows this notation for ``_base_``. It looks libraries up by the names of their upstream distributions, and so does
not find an mmseg that another distribution brought; here the package itself is looked for. Nothing is imported.
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
    """The folder of configs or tools that an installed library brings.

    Args:
        library: Its name.
        content: ``'configs'`` or ``'tools'``.
        asked: What was asked for, the start of an error message.
        example: How to ask.

    Raises:
        UserError: When there is no such library, or it was installed without them.
    """
    spec = find_spec(library) if library in LIBRARIES else None
    if spec is None or spec.origin is None:
        known = ', '.join(found for found in LIBRARIES if find_spec(found))
        raise UserError(
            f'{asked}: there is no library {library!r} with {content} here. Installed: {known}. Write {example}.'
        )
    root = Path(spec.origin).parent / '.mim' / content
    if not root.is_dir():
        raise UserError(
            f'{asked}: the installed {library} has no {content} in it (looked for {root}). Give the path of a file.'
        )
    return root


def locate(path: str) -> Path:
    """The file of a packaged config.

    Args:
        path: ``library::folder/name.py``; without the ending, too.

    Raises:
        UserError: When there is no such library or no such config in it.
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
