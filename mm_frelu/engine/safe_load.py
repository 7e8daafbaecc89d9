"""Read files of ``torch.save`` without running code from them."""

import codecs
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, Tuple

import mmengine.runner.checkpoint as mmengine_checkpoint
import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch._weights_only_unpickler import _get_allowed_globals

from .errors import UserError, first_line

# MMEngine stores its log in checkpoints and registers the number types in it as safe globals, but not float32, which mmseg logs,
# nor uint8, the type of mmpose's keypoint colours. Without this line, such checkpoints are loaded unsafely, with a warning about
# "arbitrary code execution".
if hasattr(torch.serialization, 'add_safe_globals'):  # torch >= 2.4
    torch.serialization.add_safe_globals([type(np.dtype(kind)) for kind in (np.float32, np.uint8)])


UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    AssertionError,
    MemoryError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
)
"""Exceptions that torch.load raises for damaged files, depending on where they are damaged."""


def load_safely(path: Path, mmap: bool = False, map_location: Any = 'cpu') -> Any:
    """Read a file without running code from it. The log histories of MMEngine's checkpoints are supported.

    Args:
        path (Path): A file of ``torch.save``.
        mmap (bool): Leave tensors on disk until they are read; only for files of torch >= 1.6.
        map_location (Any): Same as in ``torch.load``.

    Raises:
        Exception: Whatever torch raises for damaged files and unknown types.
    """
    name = str(path)  # torch 2.1 does not support a Path with mmap
    kinds: List[Any] = getattr(mmengine_checkpoint, 'get_torch_safe_globals', list)()
    if kinds and hasattr(torch.serialization, 'safe_globals'):
        with torch.serialization.safe_globals(kinds):
            return torch.load(name, map_location=map_location, weights_only=True, mmap=mmap)
    return torch.load(
        name, map_location=map_location, weights_only=False, mmap=mmap, pickle_module=_KnownTypes
    )


def load_or_refuse(path: Path, key: str, map_location: Any = 'cpu') -> Any:
    """Read a file with :func:`load_safely`, and raise an error that says what to do.

    Args:
        path (Path): A file of ``torch.save``.
        key (str): Option or config key that names the file, for the message.
        map_location (Any): Same as in ``torch.load``.

    Raises:
        UserError: When the file is damaged, or holds more than weights, numbers and text.
    """
    try:
        return load_safely(path, map_location=map_location)
    except UNREADABLE as error:
        unknown = unknown_kind(error)
        if unknown:
            raise UserError(
                f'{key}: {path} holds more than weights, numbers and text, and reading that could run code from it '
                f'({unknown}). If you trust the file, read it with torch.load(..., weights_only=False) and save a dict of '
                'its state_dict and meta.'
            ) from error
        raise UserError(
            f'{key}: {path} could not be read as a PyTorch checkpoint ({first_line(error)}). '
            'Download or copy it again.'
        ) from error


def let_mmengine_load_safely() -> None:
    """Make MMEngine read local files with :func:`load_or_refuse`. Its own loader runs code from files with unknown types."""

    def load(filename: str, map_location: Any = None) -> Any:
        path = Path(filename).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'{filename} can not be found.')
        return load_or_refuse(path, 'checkpoint', map_location)

    mmengine_checkpoint.CheckpointLoader.register_scheme(prefixes='', loader=load, force=True)


def unknown_kind(error: BaseException) -> str:
    """Return the type that torch refused to build, from its long message; empty if that was not the reason."""
    found = re.search(r'(?:GLOBAL|class) ([\w.]+)', str(error))
    return found.group(1) if found and isinstance(error, pickle.UnpicklingError) else ''


def _known_types() -> Dict[Tuple[str, str], Any]:
    """Return the allowed types by module and name: torch's own list, NumPy's types and MMEngine's log history."""
    numpy: Any = np  # NumPy's type stubs have only one of the two names
    core = numpy._core if np.__version__ >= '2' else numpy.core
    known = {tuple(name.rsplit('.', 1)): value for name, value in _get_allowed_globals().items()}
    for package in (
        'numpy.core',
        'numpy._core',
    ):  # the name depends on the NumPy that wrote the file
        known[f'{package}.multiarray', '_reconstruct'] = core.multiarray._reconstruct
        known[f'{package}.multiarray', 'scalar'] = core.multiarray.scalar
    known['_codecs', 'encode'] = codecs.encode  # bytes, in the old protocol
    known['numpy', 'ndarray'] = np.ndarray
    known['numpy', 'dtype'] = np.dtype
    known[HistoryBuffer.__module__, HistoryBuffer.__name__] = HistoryBuffer
    for builtins in ('builtins', '__builtin__'):
        known[builtins, 'getattr'] = _statistics_method
    return known


def _statistics_method(owner: Any, name: str) -> Any:
    """``getattr`` restricted to the public statistics of ``HistoryBuffer``; an unrestricted one could reach any function."""
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(f'Unsupported attribute {name} of {owner}')
    return getattr(owner, name)


class _KnownTypes:
    """Pickle module for ``torch.load`` that builds known types only. Before 2.5, torch does not let callers allow some of them."""

    class Unpickler(pickle.Unpickler):
        """Unpickler that refuses all other types."""

        def find_class(self, module: str, name: str) -> Any:
            """Look up an allowed type."""
            known = _known_types()
            if (module, name) not in known:
                raise pickle.UnpicklingError(f'Unsupported class {module}.{name}')
            return known[module, name]

    @classmethod
    def load(cls, file: BinaryIO, **options) -> Any:
        """Read one object. Files of torch < 1.6 start with several."""
        return cls.Unpickler(file, **options).load()
