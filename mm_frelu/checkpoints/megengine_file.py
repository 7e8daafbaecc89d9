"""Read a MegEngine state dict safely and without MegEngine.

``megengine.save`` is ``pickle.dump`` of an ``OrderedDict`` of NumPy arrays. A pickle is a program, so it is read in two steps.
First, its instructions are checked without running them (:mod:`.pickle_program`). Then it runs with substitutes for the few
names that it needs (:mod:`.pickled_arrays`). Any other name is rejected.
"""

import hashlib
import io
import pickle
import re
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import numpy as np

from ..engine.checkpoint_file import is_remote, read_start
from ..engine.errors import UserError
from .pickle_program import StateDictError, check_program
from .pickled_arrays import (
    ArrayError,
    NdarrayName,
    PickledArray,
    PickledDtype,
    encode_latin1,
    from_buffer,
    reconstruct,
    shown,
)


def new_dict(*args: Any) -> dict:
    """Substitute for ``collections.OrderedDict``: a plain dict, so that a pickle cannot set attributes on it."""
    if args:
        raise ArrayError('was not written by MegEngine: its dict is created from a list')
    return {}


GLOBALS: Tuple[Tuple[str, str, Callable], ...] = (
    ('collections', 'OrderedDict', new_dict),
    ('numpy', 'ndarray', NdarrayName),
    ('numpy', 'dtype', PickledDtype),
    ('_codecs', 'encode', encode_latin1),
    # NumPy 2 moved these two.
    ('numpy.core.multiarray', '_reconstruct', reconstruct),
    ('numpy._core.multiarray', '_reconstruct', reconstruct),
    ('numpy.core.numeric', '_frombuffer', from_buffer),
    ('numpy._core.numeric', '_frombuffer', from_buffer),
)
COUNTED = (reconstruct, from_buffer, encode_latin1)


class ArrayUnpickler(pickle.Unpickler):
    """Unpickler that knows only :data:`GLOBALS`, and counts the arrays and bytes that it creates.

    Args:
        data: A pickle that passed :func:`check_program`.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.num_arrays = 0
        self.bytes_left = len(data)

    def find_class(self, module: str, name: str) -> Callable:
        """Look up a name in :data:`GLOBALS`.

        Raises:
            StateDictError: If the name is not allowed.
        """
        for known_module, known_name, stand_in in GLOBALS:
            if (module, name) == (known_module, known_name):
                return self._counted(stand_in) if stand_in in COUNTED else stand_in
        asked = shown(f'{module}.{name}', 60)
        if module.split('.')[0] == 'megengine':
            raise StateDictError(
                f'has a MegEngine object ({asked}) instead of plain arrays. Save it again in MegEngine with '
                'megengine.save(model.state_dict(), path).'
            )
        raise StateDictError(
            f'refers to {asked}, which weights do not need. The file may run code and was not opened. '
            'Download it from a source that you trust.'
        )

    def _counted(self, make: Callable) -> Callable:
        def make_and_count(*args: Any) -> Any:
            made = make(*args)
            if isinstance(made, PickledArray):
                self.num_arrays += 1
            else:
                # A small file could fill the memory by encoding one long text many times.
                self.bytes_left -= len(made)
                if self.bytes_left < 0:
                    raise StateDictError('is hostile: it unpacks to more bytes than it has.')
            return made

        return make_and_count

    def persistent_load(self, pid: Any) -> Any:
        """Reject a reference to an object outside the file."""
        raise StateDictError(
            'refers to objects outside the file, which a MegEngine file never does.'
        )


def read_megengine_file(path: Path) -> Tuple[Dict[str, np.ndarray], str]:
    """Read names and tensors from a file of ``megengine.save``.

    Args:
        path: A state dict of any MegEngine version, pickle protocol 2 to 5, written with NumPy 1 or 2. The file name
            extension (.model, .pkl) does not matter.

    Returns:
        The arrays, in float32 and in the shapes of the file, and the SHA-256 of the file.

    Raises:
        UserError: If the file cannot be read or is not a state dict of floats.
    """
    if is_remote(path):
        raise UserError(f'SRC: {path} is a URL; download it and give the file.')
    read_start(str(path), 'SRC', '.model')
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f'SRC: {path} cannot be read: {error}.') from error
    try:
        check_program(data)
        return _unpickle(data), hashlib.sha256(data).hexdigest()
    except StateDictError as error:
        raise UserError(f'SRC: {path} {error}') from error


def _unpickle(data: bytes) -> Dict[str, np.ndarray]:
    unpickler = ArrayUnpickler(data)
    try:
        content = unpickler.load()
    except StateDictError:
        raise
    except ArrayError as error:
        raise StateDictError(f'cannot be used: a tensor {error}.') from error
    except Exception as error:  # an untrusted pickle may raise anything
        raise StateDictError(
            f'is damaged: {type(error).__name__}: {shown(str(error), 100)}. Download or copy it again.'
        ) from error
    if not isinstance(content, dict) or not content:
        what = 'an empty dict' if content == {} else _kind(content)
        raise StateDictError(
            f'has {what}; expected a dict of tensors, as written by megengine.save(model.state_dict(), path).'
        )
    for key, value in content.items():
        if not isinstance(value, PickledArray) or value.data is None:
            raise StateDictError(
                f'has {_kind(value)} under the name {shown(key, 60)}; expected names and arrays only.'
            )
        if not re.fullmatch(r'[\w.]{1,200}', key):
            raise StateDictError(
                f'has an array under {shown(key, 60)}, which is not the name of a tensor.'
            )
    if len({id(value) for value in content.values()}) != len(content):
        raise StateDictError('has one tensor under two names; expected a tensor for each name.')
    if unpickler.num_arrays != len(content):
        raise StateDictError(
            f'has {unpickler.num_arrays} tensors for {len(content)} names: a name occurs twice, and it is unknown which '
            'of the tensors is right. Download the file again.'
        )
    if sum(len(value.data) for value in content.values()) > len(data):
        raise StateDictError('is hostile: it unpacks to more bytes than it has.')
    return {key: array.build() for key, array in content.items()}


def _kind(value: Any) -> str:
    names = {dict: 'a dict', PickledArray: 'an array without contents', type(None): 'nothing'}
    return names.get(type(value), f'a {type(value).__name__}')
