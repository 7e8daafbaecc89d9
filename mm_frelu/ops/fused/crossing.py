"""How kernels are cut that add up along positions and along channels in the same pass over a feature map.

To them a feature map is a matrix for each image, as it lies in memory: rows are channels and columns positions in NCHW, the
other way round in channels_last. A program holds a tensor of shape (A, B), A rows and B columns, and goes down ``steps`` of
them. Sums along a row are complete after a step, but for the other blocks of columns; sums down a column stay in registers to the
end, and lack the other chunks of rows. Both are written in parts and added up afterwards, always in the same order.

As for :mod:`.tiling`, the cut follows from the shape alone.
"""

from typing import NamedTuple, Tuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .tiling import PROGRAMS, is_channels_last

VALUES = 1024
"""Values that a program holds at a time: 8 for each thread, 16 bytes in half precision."""
MOST_COLUMNS = 256
"""Four rows at a time or more, so that they share what is loaded for a column."""
FEWEST_ROWS = 32
"""Rows that a program adds up if there are as many: then the parts of the sums are a thirtieth of the features."""


class Crossing(NamedTuple):
    """A cut of a feature map.

    Attributes:
        rows, columns: Of the matrix of an image.
        a, b: Rows and columns of a step.
        steps: Steps of a program.
        blocks: Blocks of columns.
        chunks: Chunks of rows.
        channels_last: Whether channels are the columns.
    """

    rows: int
    columns: int
    a: int
    b: int
    steps: int
    blocks: int
    chunks: int
    channels_last: bool

    @property
    def sizes(self) -> Tuple[int, ...]:
        """Positional arguments of the kernels."""
        return self.rows, self.columns, self.steps, self.blocks, self.chunks

    @property
    def constants(self) -> dict:
        """Keyword arguments of the kernels."""
        return dict(A=self.a, B=self.b, CHANNELS_LAST=self.channels_last)

    def programs(self, x: Tensor) -> int:
        """Number of programs."""
        return len(x) * self.blocks * self.chunks

    def parts(self, x: Tensor, of_channels: bool, numbers: int = 1) -> Tensor:
        """Room for parts of sums.

        Args:
            x: The features.
            of_channels: Whether there is a sum for each channel, over the positions; else it is one for each position.
            numbers: Sums for each.

        Returns:
            Of shape (N, channels or positions, numbers, parts), in float32.
        """
        down = of_channels == self.channels_last
        length, parts = (self.columns, self.chunks) if down else (self.rows, self.blocks)
        return x.new_empty(len(x), length, numbers, parts, dtype=torch.float32)


def cross(x: Tensor) -> Crossing:
    """Cut a dense feature map of shape (N, C, H, W), NCHW or channels_last in memory."""
    n, channels, h, w = x.shape
    channels_last = is_channels_last(x)
    rows, columns = (h * w, channels) if channels_last else (channels, h * w)
    b = min(triton.next_power_of_2(columns), MOST_COLUMNS)
    a = min(triton.next_power_of_2(rows), VALUES // b)
    blocks, groups = -(-columns // b), -(-rows // a)
    steps = min(max(-(-FEWEST_ROWS // a), n * blocks * groups // PROGRAMS), groups)
    return Crossing(rows, columns, a, b, steps, blocks, -(-groups // steps), channels_last)


SIZES = ('steps', 'blocks', 'chunks')
"""Arguments whose values Triton shall not build into a kernel."""


@triton.jit
def locate(blocks, chunks, columns, B: tl.constexpr):
    """Where this program is: image, block of columns, chunk of rows, and its columns, of shape (1, B)."""
    program = tl.program_id(0)
    block = program // chunks % blocks
    column = block * B + tl.arange(0, B)[None, :]
    return (program // chunks // blocks).to(tl.int64), block, program % chunks, column


@triton.jit
def rows_of_step(chunk, steps, step, A: tl.constexpr):
    """Its rows in a step, of shape (A, 1)."""
    return (chunk * steps + step) * A + tl.arange(0, A)[:, None]


@triton.jit
def store_along_rows(
    parts, value, index: tl.constexpr, NUMBERS: tl.constexpr, image, row, block, rows, blocks
):
    """Store a sum along each row of a step."""
    target = parts + ((image * rows + row) * NUMBERS + index) * blocks + block
    tl.store(target, tl.sum(value, axis=1, keep_dims=True), mask=row < rows)


@triton.jit
def store_down_columns(
    parts, value, index: tl.constexpr, NUMBERS: tl.constexpr, image, column, chunk, columns, chunks
):
    """Store the sum down each column of a program."""
    target = parts + ((image * columns + column) * NUMBERS + index) * chunks + chunk
    tl.store(target, tl.sum(value, axis=0, keep_dims=True), mask=column < columns)
