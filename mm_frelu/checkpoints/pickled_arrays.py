"""Substitutes for the NumPy objects in a pickle. They accept arrays of floats only.

NumPy functions named in a pickle are never called. The substitutes collect shape, type and bytes, from which the array is
created here. ``__reduce_ex__`` of NumPy defines the format: an empty array and a state, or, in protocol 5, one call with the
buffer.
"""

import math
from typing import Any, Literal

import numpy as np

FLOATS = ('f2', 'f4', 'f8')
MAX_DIMENSIONS = 5


class ArrayError(ValueError):
    """The pickle does not describe an array of floats. The message continues a sentence that starts with 'a tensor'."""


def shown(value: Any, length: int = 20) -> str:
    """Format an untrusted value on one short line.

    Containers are shown by their type, because the text of nested tuples may not fit into memory.
    """
    if isinstance(value, tuple) and len(value) < 10 and all(type(side) is int for side in value):
        return repr(value)
    if isinstance(value, (str, bytes)):
        return repr(value[:length])
    return repr(value) if isinstance(value, int) else f'a {type(value).__name__}'


class PickledDtype:
    """Substitute for ``numpy.dtype``, which is pickled as ``('f4', False, True)`` and a state with the byte order."""

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
    """Array, described by its state: version, shape, type, whether it is in Fortran order, bytes."""

    def __init__(self) -> None:
        self.data: Any = None  # bytes, set by describe()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or self.data is not None:
            raise ArrayError('is not described in the format of NumPy')
        _, shape, dtype, in_columns, data = state
        self.describe(data, dtype, shape, 'F' if in_columns is True else 'C')

    def describe(self, data: Any, dtype: Any, shape: Any, order: Any) -> None:
        """Store the description of the array.

        Args:
            data: Its bytes.
            dtype: Its number type, a :class:`PickledDtype`.
            shape: Its shape, one to five positive sides.
            order: ``'C'`` or ``'F'``.

        Raises:
            ArrayError: If the arguments are invalid or inconsistent.
        """
        if not isinstance(dtype, PickledDtype) or not isinstance(data, (bytes, bytearray)):
            raise ArrayError('is not described in the format of NumPy')
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
        """Create the array in float32 and in the native byte order."""
        numbers = np.dtype(self.dtype.code).newbyteorder(self.dtype.byte_order)
        with np.errstate(
            over='ignore'
        ):  # float64 values beyond float32 become inf, which is rejected later
            values = np.frombuffer(self.data, numbers).astype(np.float32)
        return values.reshape(self.shape, order=self.order)


class NdarrayName:
    """Substitute for ``numpy.ndarray``, which a pickle only passes to :func:`reconstruct`. It cannot be instantiated."""

    def __new__(cls, *args: Any) -> 'NdarrayName':
        """Raise an error."""
        raise ArrayError('calls numpy.ndarray itself')


def reconstruct(subtype: Any, shape: Any, code: Any) -> PickledArray:
    """Substitute for ``numpy.core.multiarray._reconstruct``: create an array without content."""
    if subtype is not NdarrayName or shape != (0,) or code not in (b'b', 'b'):
        raise ArrayError('is not described in the format of NumPy')
    return PickledArray()


def from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    """Substitute for ``numpy.core.numeric._frombuffer`` (protocol 5): create an array with content."""
    array = PickledArray()
    array.describe(buffer, dtype, shape, order)
    return array


def encode_latin1(text: Any, encoding: Any) -> bytes:
    """Substitute for ``_codecs.encode``, with which protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != 'latin1':
        raise ArrayError(f'has bytes in the encoding {shown(encoding)}')
    try:
        return text.encode('latin1')
    except UnicodeEncodeError:
        raise ArrayError('has text in place of bytes') from None
