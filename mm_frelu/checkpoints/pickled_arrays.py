"""Stand-ins for the NumPy objects inside a pickle: they take what an array of floats needs, and nothing else.

No function of NumPy that a pickle names is ever called. The stand-ins collect shape, type and bytes, and the array is made
from those here. What NumPy writes is told in its own ``__reduce_ex__``: an empty array and a state, or, in protocol 5, one
call with the buffer.
"""

import math
from typing import Any, Literal

import numpy as np

FLOATS = ('f2', 'f4', 'f8')
MAX_DIMENSIONS = 5


class ArrayError(ValueError):
    """What the pickle describes is not an array of floats; the message ends the sentence 'a tensor ...'."""


def shown(value: Any, length: int = 20) -> str:
    """A value of a stranger, on one short line.

    Containers are told by their kind, because tuples in tuples can be longer than any memory.
    """
    if isinstance(value, tuple) and len(value) < 10 and all(type(side) is int for side in value):
        return repr(value)
    if isinstance(value, (str, bytes)):
        return repr(value[:length])
    return repr(value) if isinstance(value, int) else f'a {type(value).__name__}'


class PickledDtype:
    """A number type, as ``numpy.dtype`` is pickled: ``('f4', False, True)`` and a state with the byte order."""

    def __init__(self, code: Any, *flags: Any) -> None:
        if not isinstance(code, str) or code not in FLOATS or len(flags) > 2:
            raise ArrayError(f'has numbers of type {shown(code)}; expected float32')
        self.code = code
        self.itemsize = int(code[1])
        self.byte_order: Literal['=', '<', '>'] = '='

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (8, 9) or state[1] not in ('<', '>'):
            raise ArrayError('has a number type that NumPy does not write for floats')
        self.byte_order = state[1]


class PickledArray:
    """An array, described by its state: version, shape, type, whether in Fortran's order, bytes."""

    def __init__(self) -> None:
        self.data: Any = None  # bytes, as soon as it is described

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or self.data is not None:
            raise ArrayError('is described in another way than NumPy does')
        _, shape, dtype, in_columns, data = state
        self.describe(data, dtype, shape, 'F' if in_columns is True else 'C')

    def describe(self, data: Any, dtype: Any, shape: Any, order: Any) -> None:
        """Take what a pickle says of the array.

        Args:
            data: Its bytes.
            dtype: Its number type, a :class:`PickledDtype`.
            shape: Its shape, one to five positive sides.
            order: ``'C'`` or ``'F'``.

        Raises:
            ArrayError: When these are other things, or do not fit together.
        """
        if not isinstance(dtype, PickledDtype) or not isinstance(data, (bytes, bytearray)):
            raise ArrayError('is described in another way than NumPy does')
        whole = isinstance(shape, tuple) and all(type(side) is int and side > 0 for side in shape)
        if not whole or len(shape) not in range(1, MAX_DIMENSIONS + 1):
            raise ArrayError(f'has the shape {shown(shape)}')
        if order not in ('C', 'F'):
            raise ArrayError(f'has the memory order {shown(order)}')
        expected = math.prod(shape) * dtype.itemsize
        if len(data) != expected:
            raise ArrayError(f'of shape {shape} has {len(data)} bytes; expected {expected}')
        self.data, self.dtype, self.shape, self.order = data, dtype, shape, order

    def build(self) -> np.ndarray:
        """Make the array: float32, in this machine's byte order, a copy."""
        numbers = np.dtype(self.dtype.code).newbyteorder(self.dtype.byte_order)
        with np.errstate(
            over='ignore'
        ):  # float64 beyond float32 becomes inf, which is refused later
            values = np.frombuffer(self.data, numbers).astype(np.float32)
        return values.reshape(self.shape, order=self.order)


class NdarrayName:
    """Stands for ``numpy.ndarray``, which a pickle only hands to :func:`reconstruct`; making one is refused."""

    def __new__(cls, *args: Any) -> 'NdarrayName':
        """Refuse."""
        raise ArrayError('calls numpy.ndarray itself')


def reconstruct(subtype: Any, shape: Any, code: Any) -> PickledArray:
    """``numpy.core.multiarray._reconstruct``: begin an array."""
    if subtype is not NdarrayName or shape != (0,) or code not in (b'b', 'b'):
        raise ArrayError('is described in another way than NumPy does')
    return PickledArray()


def from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    """``numpy.core.numeric._frombuffer`` (protocol 5): a whole array at once."""
    array = PickledArray()
    array.describe(buffer, dtype, shape, order)
    return array


def encode_latin1(text: Any, encoding: Any) -> bytes:
    """``_codecs.encode``: how protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != 'latin1':
        raise ArrayError(f'has bytes in the encoding {shown(encoding)}')
    try:
        return text.encode('latin1')
    except UnicodeEncodeError:
        raise ArrayError('has bytes that are no bytes') from None
