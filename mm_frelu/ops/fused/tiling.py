"""How a feature map is cut into programs, lanes and patches (:mod:`.patch`).

The cut follows from the shape alone, never from a measurement, so that sums are always taken in the same order and two runs
agree to the last bit. The numbers come from counting for a GPU like the H200, whose caches serve about 50 narrow loads in
the time in which its memory serves one tensor of half precision:

- A patch of 4 x 4 takes 2.25 loads per output forward (a 3x3 window), and 4 for x and 2.25 for the gradient backward. A
  smaller one takes more loads, a larger one does not fit into registers backward.
- 128 lanes are four warps, enough to hide latency together with the many loads that a patch has in flight.
- About 2048 programs fill such a GPU twice; what is more goes into more rows per program, which then loads its weights and
  adds up its sums less often.
"""

from typing import NamedTuple, Tuple

from torch import Tensor

PATCH = 4
LANES = 128
PROGRAMS = 2048
MOST_STEPS = 8
# Lanes along the memory order, so that a warp reads whole cache lines.
NCHW_LANES = (128, 64, 32, 16)
CHANNELS_LAST_LANES = (64, 32)


class Tiling(NamedTuple):
    """A cut of a feature map.

    Attributes:
        channels_last: Whether channels are next to each other in memory.
        a, b: Lanes of a program, see :mod:`.patch`.
        rows, columns: Shape of a patch.
        whole: Whether the width is a multiple of ``columns``.
        row_chunks: Programs along the height.
        chunk_rows: Rows of a program.
        programs: Programs in all.
        parts: Partial sums per channel.
    """

    channels_last: bool
    a: int
    b: int
    rows: int
    columns: int
    whole: bool
    row_chunks: int
    chunk_rows: int
    programs: int
    parts: int

    def constants(self) -> dict:
        """Keyword arguments of every kernel that works on patches."""
        return dict(
            A=self.a,
            B=self.b,
            ROWS=self.rows,
            COLUMNS=self.columns,
            WHOLE=self.whole,
            CHANNELS_LAST=self.channels_last,
        )

    def sizes(self, x: Tensor) -> Tuple[int, ...]:
        """N, C, H, the width (in patches where these fit), chunks and rows of a chunk: positional arguments."""
        n, c, h, w = x.shape
        width = w // self.columns if self.whole else w
        return n, c, h, width, self.row_chunks, self.chunk_rows


def is_channels_last(x: Tensor) -> bool:
    """Whether a dense tensor keeps its channels next to each other. NCHW where both readings are possible."""
    return not x.is_contiguous()


def tile(x: Tensor) -> Tiling:
    """Cut a dense feature map of shape (N, C, H, W), NCHW or channels_last in memory."""
    n, c, h, w = x.shape
    channels_last = is_channels_last(x)
    columns, rows = _side(w), _side(h)
    groups = _ceil(w, columns)
    if channels_last:
        b = _lanes(c, CHANNELS_LAST_LANES)
        a = LANES // b
        blocks, parts = _ceil(c, b) * _ceil(n * groups, a), _ceil(n * groups, a)
    else:
        b = _lanes(groups, NCHW_LANES)
        a = LANES // b
        blocks, parts = _ceil(groups, b) * _ceil(n * c, a), _ceil(groups, b) * n
    steps = blocks * _ceil(h, rows) // PROGRAMS
    chunk_rows = rows * min(max(steps, 1), MOST_STEPS)
    row_chunks = _ceil(h, chunk_rows)
    return Tiling(
        channels_last,
        a,
        b,
        rows,
        columns,
        w % columns == 0,
        row_chunks,
        chunk_rows,
        blocks * row_chunks,
        parts * row_chunks,
    )


def _ceil(size: int, step: int) -> int:
    return -(-size // step)


def _side(size: int) -> int:
    return PATCH if size >= PATCH - 1 else size


def _lanes(size: int, choices: Tuple[int, ...]) -> int:
    """The number of lanes that wastes the fewest, the largest of several; a power of two for less than the smallest."""
    if size < choices[-1]:
        return 1 << (size - 1).bit_length()
    return min(choices, key=lambda lanes: _ceil(size, lanes) * lanes)
