"""Reading a MegEngine state dict without MegEngine, and without trusting the file.

``megengine.save`` is ``pickle.dump`` of an ``OrderedDict`` of NumPy arrays. A pickle is a program, so it is taken in two steps:
its instructions are checked without running any (:mod:`.pickle_program`), then it runs with stand-ins for the few names that it
needs (:mod:`.pickled_arrays`). Every other name is refused.
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
    """``collections.OrderedDict``: an ordinary dict, so that a pickle cannot set attributes on it."""
    if args:
        raise ArrayError('is not written by MegEngine: its dict is made from a list')
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
    """An unpickler that knows :data:`GLOBALS` only, and counts what it makes.

    Args:
        data: A pickle that passed :func:`check_program`.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.num_arrays = 0
        self.bytes_left = len(data)

    def find_class(self, module: str, name: str) -> Callable:
        """Look a name up among the allowed ones.

        Raises:
            StateDictError: For any other name.
        """
        for known_module, known_name, stand_in in GLOBALS:
            if (module, name) == (known_module, known_name):
                return self._counted(stand_in) if stand_in in COUNTED else stand_in
        asked = shown(f'{module}.{name}', 60)
        if module.split('.')[0] == 'megengine':
            raise StateDictError(
                f'holds a MegEngine object ({asked}), not plain arrays. Save it again in MegEngine with '
                'megengine.save(model.state_dict(), path).'
            )
        raise StateDictError(
            f'asks for {asked}, which weights do not need: the file may run code and was not opened. '
            'Fetch it from a source that you trust.'
        )

    def _counted(self, make: Callable) -> Callable:
        def make_and_count(*args: Any) -> Any:
            made = make(*args)
            if isinstance(made, PickledArray):
                self.num_arrays += 1
            else:
                # One long text, encoded over and over, would fill the memory from a small file.
                self.bytes_left -= len(made)
                if self.bytes_left < 0:
                    raise StateDictError('is hostile: it unpacks to more bytes than it has.')
            return made

        return make_and_count

    def persistent_load(self, pid: Any) -> Any:
        """Refuse a reference to something outside the file."""
        raise StateDictError(
            'refers to objects outside the file, which a MegEngine file never does.'
        )


def read_megengine_file(path: Path) -> Tuple[Dict[str, np.ndarray], str]:
    """Read names and tensors of a file that ``megengine.save`` wrote.

    Args:
        path: A state dict of any MegEngine version, pickle protocol 2 to 5, written with NumPy 1 or 2. The file name
            extension (.model, .pkl) means nothing.

    Returns:
        The arrays, float32 and in the shapes of the file, and the file's SHA-256.

    Raises:
        UserError: When the file cannot be read or is anything else than a state dict of floats.
    """
    if is_remote(path):
        raise UserError(f'SRC: {path} is an address; download it and give the file.')
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
    except Exception as error:  # whatever a stranger's program may do with these instructions
        raise StateDictError(
            f'is damaged: {type(error).__name__}: {shown(str(error), 100)}. Download or copy it again.'
        ) from error
    if not isinstance(content, dict) or not content:
        what = 'an empty dict' if content == {} else _kind(content)
        raise StateDictError(
            f'holds {what}; expected a dict of tensors, as megengine.save(model.state_dict(), path) writes.'
        )
    for key, value in content.items():
        if not isinstance(value, PickledArray) or value.data is None:
            raise StateDictError(
                f'holds {_kind(value)} under the name {shown(key, 60)}; expected names and arrays only.'
            )
        if not re.fullmatch(r'[\w.]{1,200}', key):
            raise StateDictError(
                f'holds an array under {shown(key, 60)}, which is no name of a tensor.'
            )
    if len({id(value) for value in content.values()}) != len(content):
        raise StateDictError('holds one tensor under two names; expected a tensor for each.')
    if unpickler.num_arrays != len(content):
        raise StateDictError(
            f'holds {unpickler.num_arrays} tensors for {len(content)} names: a name occurs twice. Which of the tensors '
            'is right cannot be told; fetch the file again.'
        )
    if sum(len(value.data) for value in content.values()) > len(data):
        raise StateDictError('is hostile: it unpacks to more bytes than it has.')
    return {key: array.build() for key, array in content.items()}


def _kind(value: Any) -> str:
    names = {dict: 'a dict', PickledArray: 'an array without contents', type(None): 'nothing'}
    return names.get(type(value), f'a {type(value).__name__}')
