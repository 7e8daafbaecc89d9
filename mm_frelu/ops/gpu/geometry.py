"""Divide a feature map among the programs of the funnel kernels. The division depends only on the shape."""

from dataclasses import dataclass
from typing import NamedTuple, Sequence, Tuple

import torch

from .launch import WIDE_BYTES

LANES = 128
"""Lanes of a program, one for each thread. Two channels per thread in channels_last took the same time and more registers."""
UNROLLED = 2
"""Rows that a lane loads before it computes with them."""
FORWARD_PROGRAMS, GRADIENT_PROGRAMS = 8, 4
"""Programs that run on a multiprocessor at a time, which depends on their registers."""
OVERHEAD_ROWS = 3
"""Cost of the start and the sums of a program, in rows."""
ROW_BLOCKS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32)
"""Numbers of blocks of rows that are tried, in NCHW."""
MIN_ROWS = 8
"""Minimum number of rows of a strip, in channels_last."""


@dataclass(frozen=True)
class Tile:
    """Constants of a program that are compiled into a kernel, see :mod:`.funnel_kernels`.

    Attributes:
        owned: Lanes of one plane or, in channels_last, channels of the program. A power of two.
        columns: Adjacent columns of a lane.
        vector: Values that are loaded at once.
        full: Whether all lanes have all their columns in the map.
        last: Whether the features are in channels_last.
        lanes: Lanes of a program.
        unrolled: Rows that a lane loads before it computes with them.
    """

    owned: int
    columns: int
    vector: int
    full: bool
    last: bool
    lanes: int = LANES
    unrolled: int = UNROLLED


class Geometry(NamedTuple):
    """A division of a feature map of shape (N, C, H, W) among programs.

    Attributes:
        programs: Number of programs.
        parts: Parts of the sums over a channel.
        sizes: Arguments of the kernels.
        tile: Their constants.
    """

    programs: int
    parts: int
    sizes: Tuple[int, ...]
    tile: Tile


def divide(
    shape: Sequence[int],
    dtype: torch.dtype,
    channels_last: bool,
    kernel_size: int,
    is_gradient: bool,
    multiprocessors: int,
) -> Geometry:
    """Divide a feature map.

    Args:
        shape: (N, C, H, W).
        dtype: Type of the features.
        channels_last: Their order in memory.
        kernel_size: Side of the window.
        is_gradient: Whether it is for the gradient kernel, whose strips overlap and which needs more registers.
        multiprocessors: Number of multiprocessors of the device.
    """
    halo = 2 * (kernel_size // 2) if is_gradient else kernel_size // 2
    # The rows of a strip, with its halo in the gradient kernel, are a multiple of UNROLLED.
    halo_rows = halo if is_gradient else 0
    at_once = multiprocessors * (GRADIENT_PROGRAMS if is_gradient else FORWARD_PROGRAMS)
    how = _channels_last if channels_last else _nchw
    return how(shape, dtype.itemsize, halo, halo_rows, at_once)


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _vector(length: int, itemsize: int) -> int:
    """Return the number of neighbouring values per load, which must divide ``length``."""
    return next(v for v in (8, 4, 2, 1) if v * itemsize <= WIDE_BYTES and length % v == 0)


def _rows(rows: int, halo_rows: int) -> int:
    """Return the smallest possible number of rows of a strip that is at least ``rows``."""
    return -(-(rows + halo_rows) // UNROLLED) * UNROLLED - halo_rows


def _channels_last(
    shape: Sequence[int], itemsize: int, halo: int, halo_rows: int, at_once: int
) -> Geometry:
    n, c, h, w = shape
    vector = _vector(c, itemsize)
    columns = 8 if halo > 4 else 4
    owned = min(_power_of_two(c), LANES)
    channel_blocks, col_blocks = -(-c // owned), -(-w // (columns * (LANES // owned)))
    strips = max(at_once // (n * channel_blocks * col_blocks), 1)
    rows = _rows(max(-(-h // strips), MIN_ROWS), halo_rows)
    row_blocks = -(-h // rows)
    parts = n * row_blocks * col_blocks
    sizes = (n, c // vector, h, w, channel_blocks, 1, rows, row_blocks, col_blocks)
    tile = Tile(owned, columns, vector, full=w % columns == 0, last=True)
    return Geometry(parts * channel_blocks, parts, sizes, tile)


def _nchw(shape: Sequence[int], itemsize: int, halo: int, halo_rows: int, at_once: int) -> Geometry:
    """Return the division with the lowest cost, the rows of a lane times the rounds in which programs run."""
    n, c, h, w = shape
    vector = _vector(w, itemsize)
    columns = max(_columns(w, vector, itemsize, halo_rows), vector, 8 if halo > 4 else 4)
    groups, planes = -(-w // columns), n * c
    abreast = min(groups, LANES)
    col_blocks = -(-groups // abreast)
    best: Tuple = ()  # the lowest cost, and the division
    for strips in range(1, min(LANES // abreast, h) + 1):
        owned = LANES if col_blocks > 1 else _power_of_two(abreast * strips)
        for blocks in ROW_BLOCKS if owned == LANES else (1,):
            rows = _rows(-(-h // (strips * blocks)), halo_rows)
            row_blocks = -(-h // (rows * strips))
            programs = -(-planes // (LANES // owned)) * row_blocks * col_blocks
            rounds = max(1.15, programs / at_once + 0.15)
            # If a program has several planes, its lanes have different taps.
            cost = rounds * (rows + halo_rows + OVERHEAD_ROWS) * (1.0 if owned == LANES else 1.6)
            if not best or cost < best[0] * 0.999:
                best = cost, strips, owned, row_blocks, rows, programs
    _, strips, owned, row_blocks, rows, programs = best
    parts = n * row_blocks * col_blocks
    sizes = (planes, c, h, w // vector, abreast, strips, rows, row_blocks, col_blocks)
    tile = Tile(owned, columns, vector, full=w % columns == 0, last=False)
    return Geometry(programs, parts, sizes, tile)


def _columns(w: int, vector: int, itemsize: int, halo_rows: int) -> int:
    """Return the columns of a lane. With 8, more loaded values are shared; with 4, there are more registers and lanes."""
    if vector >= 4 and w >= 16 and (halo_rows or itemsize == 2):
        return 8
    # Otherwise a third of the lanes would be idle.
    return 8 if vector == 4 and LANES // 2 < w // 4 < LANES * 3 // 4 else 4
