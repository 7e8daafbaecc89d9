"""Patches of a feature map in registers: how every kernel of this package reads and writes memory.

A program holds a tensor of A * B *lanes*, one for each thread. A lane owns a patch of ``ROWS`` x ``COLUMNS``
pixels of one channel and works on it with plain unrolled code: a patch with its halo is a tuple of tensors, one per pixel.
So a value that two neighbouring outputs need is loaded and converted once, and no tap of a window is a load of its own:
4 x 4 outputs of a 3x3 window take 36 loads instead of 144, and a vector load counts as one.

Each memory format is walked in its own order:

- NCHW: a lane is a group of columns; B lanes run along the row, A over the planes (n, c), so that maps of 7x7 fill a
  program too. Where the width is a multiple of ``COLUMNS`` a lane's own columns are one vector load, its halo single loads.
- channels_last: B lanes run over channels, A over groups of columns of all images.

A program walks down the rows of its chunk. The halo rows that it reads again come from the caches.
"""

import triton
import triton.language as tl

SIZES = ('N', 'C', 'H', 'W', 'width', 'row_chunks', 'chunk_rows', 'parts')
"""Arguments whose values Triton shall not build into a kernel, which it would then compile anew for many a shape."""


@triton.jit
def locate(
    N, C, H, W, row_chunks,
    A: tl.constexpr, B: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Where the lanes of this program are.

    Returns:
        Offsets of their first pixels (row 0), their first columns, their channels, which of them exist, and the number of
        this program's row chunk.
    """
    program = tl.program_id(0)
    block = program // row_chunks
    groups = (W + COLUMNS - 1) // COLUMNS
    lane = tl.arange(0, A * B)
    a = lane // B
    b = lane % B
    if CHANNELS_LAST:
        channel_blocks = (C + B - 1) // B
        channel = (block % channel_blocks) * B + b
        item = (block // channel_blocks) * A + a
        image = item // groups
        column = (item % groups) * COLUMNS
        exists = (channel < C) & (image < N)
        channel = tl.minimum(channel, C - 1)
        offset = (image.to(tl.int64) * H * W + column) * C + channel
    else:
        column_blocks = (groups + B - 1) // B
        column = ((block % column_blocks) * B + b) * COLUMNS
        plane = (block // column_blocks) * A + a
        exists = (plane < N * C) & (column < W)
        channel = plane % C
        offset = plane.to(tl.int64) * H * W + column
    return offset, column, channel, exists, program % row_chunks


@triton.jit
def pixel_strides(C, W, CHANNELS_LAST: tl.constexpr):
    """Elements from one row, and from one column, to the next."""
    if CHANNELS_LAST:
        return W * C, C
    else:
        return W, 1


@triton.jit
def _unpack(wide, LANES: tl.constexpr, COLUMNS: tl.constexpr):
    """The columns of a tensor of shape (LANES, COLUMNS), as a tuple. They stay in their thread."""
    if COLUMNS == 2:
        first, second = tl.split(wide)
        return first, second
    else:
        tl.static_assert(COLUMNS == 4, 'a lane has 1, 2 or 4 columns')
        even, odd = tl.split(tl.reshape(wide, (LANES, 2, 2)))
        first, third = tl.split(even)
        second, fourth = tl.split(odd)
        return first, second, third, fourth


@triton.jit
def _pack(columns, LANES: tl.constexpr, COLUMNS: tl.constexpr):
    """The opposite of :func:`_unpack`."""
    if COLUMNS == 2:
        return tl.join(columns[0], columns[1])
    else:
        even = tl.join(columns[0], columns[2])
        odd = tl.join(columns[1], columns[3])
        return tl.reshape(tl.join(even, odd), (LANES, 4))


@triton.jit
def load_patch(
    pointer, row, column, exists, C, H, W,
    TOP: tl.constexpr, LEFT: tl.constexpr, BOTTOM: tl.constexpr, RIGHT: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Load each lane's patch with its halo, zero outside of the map.

    Args:
        pointer: Pointers to the lanes' first pixels in row 0.
        row: First row of the patch.
        TOP, LEFT, BOTTOM, RIGHT: Width of the halo.
        WHOLE: Whether the width is a multiple of ``COLUMNS``.

    Returns:
        ``(TOP + ROWS + BOTTOM) * (LEFT + COLUMNS + RIGHT)`` tensors in float32, row by row.
    """
    row_stride, column_stride = pixel_strides(C, W, CHANNELS_LAST)
    patch = ()
    for i in tl.static_range(-TOP, ROWS + BOTTOM):
        here = exists & (row + i >= 0) & (row + i < H)
        start = pointer + (row + i) * row_stride
        for j in tl.static_range(-LEFT, 0):
            value = tl.load(start + j * column_stride, mask=here & (column + j >= 0), other=0.0)
            patch = patch + (value.to(tl.float32),)
        if WHOLE and not CHANNELS_LAST and COLUMNS > 1:
            wide = tl.load(
                start[:, None] + tl.arange(0, COLUMNS)[None, :],
                mask=here[:, None],
                other=0.0,
            )
            patch = patch + _unpack(wide.to(tl.float32), A * B, COLUMNS)
        else:
            for j in tl.static_range(COLUMNS):
                mask = here if WHOLE else here & (column + j < W)
                value = tl.load(start + j * column_stride, mask=mask, other=0.0)
                patch = patch + (value.to(tl.float32),)
        for j in tl.static_range(COLUMNS, COLUMNS + RIGHT):
            value = tl.load(start + j * column_stride, mask=here & (column + j < W), other=0.0)
            patch = patch + (value.to(tl.float32),)
    return patch


@triton.jit
def store_patch(
    pointer, values, row, column, exists, C, H, W,
    A: tl.constexpr, B: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Store each lane's patch, ``ROWS * COLUMNS`` tensors, in the type of the memory."""
    row_stride, column_stride = pixel_strides(C, W, CHANNELS_LAST)
    for i in tl.static_range(ROWS):
        here = exists & (row + i < H)
        start = pointer + (row + i) * row_stride
        if WHOLE and not CHANNELS_LAST and COLUMNS > 1:
            columns = ()
            for j in tl.static_range(COLUMNS):
                columns = columns + (values[i * COLUMNS + j],)
            tl.store(
                start[:, None] + tl.arange(0, COLUMNS)[None, :],
                _pack(columns, A * B, COLUMNS).to(pointer.dtype.element_ty),
                mask=here[:, None],
            )
        else:
            for j in tl.static_range(COLUMNS):
                mask = here if WHOLE else here & (column + j < W)
                tl.store(start + j * column_stride, values[i * COLUMNS + j], mask=mask)


@triton.jit
def in_map(row, column, exists, H, W, i: tl.constexpr, j: tl.constexpr):
    """Whether pixel (i, j), counted from the lanes' first, lies in the map."""
    return exists & (row + i >= 0) & (row + i < H) & (column + j >= 0) & (column + j < W)


@triton.jit
def store_partial(
    pointer, values, index, count, N, C, W, row_chunks, parts,
    A: tl.constexpr, B: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Store one number per channel of this program, after :func:`lane_sum` took it together.

    The memory has the shape (C, count, parts); the parts are added up later in a fixed order, so that two runs agree to
    the last bit.

    Args:
        values: The numbers, of shape (A,) or, for channels_last, (B,).
        index: Which of the ``count`` numbers this is.
    """
    program = tl.program_id(0)
    block = program // row_chunks
    chunk = program % row_chunks
    if CHANNELS_LAST:
        channel_blocks = (C + B - 1) // B
        channel = (block % channel_blocks) * B + tl.arange(0, B)
        part = (block // channel_blocks) * row_chunks + chunk + 0 * channel
        exists = channel < C
    else:
        column_blocks = ((W + COLUMNS - 1) // COLUMNS + B - 1) // B
        plane = (block // column_blocks) * A + tl.arange(0, A)
        channel = plane % C
        part = ((plane // C) * column_blocks + block % column_blocks) * row_chunks + chunk
        exists = plane < N * C
    tl.store(pointer + (channel * count + index).to(tl.int64) * parts + part, values, mask=exists)


@triton.jit
def lane_sum(values, A: tl.constexpr, B: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Sum over the lanes of a program that share a plane (or, for channels_last, a channel)."""
    if CHANNELS_LAST:
        return tl.sum(tl.reshape(values, (A, B)), axis=0)
    else:
        return tl.sum(tl.reshape(values, (A, B)), axis=1)


@triton.jit
def to_lanes(values, A: tl.constexpr, B: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Spread the result of :func:`lane_sum` over the lanes again."""
    if CHANNELS_LAST:
        return tl.reshape(tl.broadcast_to(values[None, :], (A, B)), (A * B,))
    else:
        return tl.reshape(tl.broadcast_to(values[:, None], (A, B)), (A * B,))
