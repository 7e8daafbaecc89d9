r"""Triton kernels of the funnel activation and the norms before it.

A lane (one element of a Triton tensor) computes ``tile.columns`` adjacent pixels of one channel. It steps down through ``rows``
rows and keeps a window of rows in registers, as tuples of tensors. Each lane therefore loads each pixel once, and keeps its sums
in registers until the end. In NCHW, adjacent lanes have adjacent columns; in channels_last, adjacent channels. ``x`` is
computed from the branches as they are loaded. The sums of the windows and ``T`` are recomputed in each kernel that needs them.
Arithmetic is in float32.

Each program writes its part of a sum over a channel, in the layout ``(part, number, channel)``. Small kernels add the parts up,
always in the same order. Argument names: ``u`` and ``v`` are the branches; ``m1, v1, g1, b1, eps1`` are mean, variance, scale,
shift and epsilon of the norm after ``u``, and ``m2`` to ``eps2`` those of the norm after ``v``; ``wa`` and ``wb`` are the weights
of the windows, ``ma, va, ga, ba, epsa`` and ``mb`` to ``epsb`` their norms, and ``ca`` and ``cb`` the biases of their
convolutions. A missing norm has mean 0, variance 1, scale 1, shift 0 and epsilon 0, which leaves every value bitwise unchanged.

``tile`` is the :class:`.Tile` of the division, and ``form`` the :class:`.Form` of the activation.
"""

# A kernel has one argument for each tensor and number, because Launch passes addresses. The argument lists would hide the code with
# one argument per line.
# fmt: off

from dataclasses import dataclass
from typing import Any, NamedTuple

import triton
import triton.language as tl

from .launch import INTERPRETED

SATURATE = tl.constexpr(not INTERPRETED)


@dataclass(frozen=True)
class Form:
    """Constants of an activation that are compiled into a kernel.

    Attributes:
        size: Side of the window, or length of the row and of the column.
        light: 0 for one square window. 1 and 2 for a row and a column that are combined by their sum or by their maximum.
        normed: Whether x is computed from norms, or from two branches.
        two: Whether there are two branches.
    """

    size: int
    light: int
    normed: bool
    two: bool

    @property
    def windows(self) -> int:
        """Number of windows."""
        return 2 if self.light else 1

    @property
    def taps(self) -> int:
        """Number of weights of all windows."""
        return self.size * (2 if self.light else self.size)


# --- position of a lane ------------------------------------------------------------------------------------------------


class Lanes(NamedTuple):
    """Position of the lanes of a program in the map.

    Attributes:
        exists: Whether a lane has pixels.
        offset: Offset in memory of its first pixel.
        channel: Channel of the pixels.
        row: Row of the first pixel.
        column: Column of the first pixel.
        height: Number of rows of the map.
        width: Number of columns of the map.
        stride: Stride of the columns.
        pitch: Stride of the rows.
    """

    exists: Any
    offset: Any
    channel: Any
    row: Any
    column: Any
    height: Any
    width: Any
    stride: Any
    pitch: Any


@triton.jit
def program(REVERSE: tl.constexpr):
    """Return the index of this program. REVERSE reverses the order, because the L2 cache has what the last kernel read last."""
    pid = tl.program_id(0)
    if REVERSE:
        pid = tl.num_programs(0) - 1 - pid
    return pid


@triton.jit
def locate(sizes, tile: tl.constexpr, REVERSE: tl.constexpr):
    """Return the :class:`Lanes`.

    In NCHW, a program has ``tile.lanes // tile.owned`` planes with ``tile.owned`` lanes each: ``R`` strips of rows with ``B``
    groups of columns. In channels_last, a program has ``tile.owned`` channels of one image and ``tile.lanes // tile.owned``
    groups of columns, and ``B`` is the number of channel blocks.
    """
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks = sizes
    pid = program(REVERSE)
    lane = tl.arange(0, tile.lanes)
    if tile.last:
        C = channels * tile.vector
        group = pid // col_blocks
        channel = (group % B) * tile.owned + lane % tile.owned
        col = ((pid % col_blocks) * (tile.lanes // tile.owned) + lane // tile.owned) * tile.columns
        image = group // (B * row_blocks)
        row = (group // B % row_blocks) * rows
        exists = (channel < C) & (col < width) & (row < H)
        offset = image.to(tl.int64) * H * width * C + ((row * width + col) * C + channel)
        channel = tl.minimum(channel, C - 1)  # all lanes read values of a channel
        return Lanes(exists, offset, channel, row, col, H, width, C, width * C)
    else:
        W = width * tile.vector
        group = pid // (col_blocks * row_blocks)
        own = lane % tile.owned
        col = ((pid % col_blocks) * tile.owned + own % B) * tile.columns
        strip = own // B
        row = ((pid // col_blocks % row_blocks) * R + strip) * rows
        exists = (strip < R) & (col < W) & (row < H)
        if tile.owned == tile.lanes:
            plane = group
        else:
            plane = group * (tile.lanes // tile.owned) + lane // tile.owned
            exists = exists & (plane < planes)
            plane = tl.minimum(plane, planes - 1)
        channel = plane % channels
        offset = plane.to(tl.int64) * (H * W) + (row * W + col)
        return Lanes(exists, offset, channel, row, col, H, W, 1, W)


@triton.jit
def zeros(tile: tl.constexpr):
    """Return a zero for each lane."""
    LANES: tl.constexpr = tile.lanes
    return tl.zeros((LANES,), tl.float32)


@triton.jit
def total_of_owner(value, tile: tl.constexpr):
    """Sum over the lanes of a plane or, in channels_last, over those of a channel."""
    if tile.last:
        return tl.sum(tl.reshape(value, (tile.lanes // tile.owned, tile.owned)), axis=0)
    elif tile.owned == tile.lanes:
        return tl.sum(value)
    else:
        return tl.sum(tl.reshape(value, (tile.lanes // tile.owned, tile.owned)), axis=1)


@triton.jit
def total_to_lanes(value, tile: tl.constexpr):
    """Compute the same sum, and broadcast it to the lanes."""
    total = total_of_owner(value, tile)
    shape: tl.constexpr = (tile.lanes // tile.owned, tile.owned)
    if tile.last:
        return tl.reshape(tl.broadcast_to(total[None, :], shape), (tile.lanes,))
    elif tile.owned == tile.lanes:
        return total
    else:
        return tl.reshape(tl.broadcast_to(total[:, None], shape), (tile.lanes,))


@triton.jit
def put_parts(partials, totals, sizes, tile: tl.constexpr, COUNT: tl.constexpr, REVERSE: tl.constexpr):
    """Store the part of this program for each of ``COUNT`` sums."""
    planes, channels, _, _, B, _, _, row_blocks, col_blocks = sizes
    pid = program(REVERSE)
    for index in tl.static_range(COUNT):
        total = total_of_owner(totals[index], tile)
        if tile.last:
            C = channels * tile.vector
            group = pid // col_blocks
            channel = (group % B) * tile.owned + tl.arange(0, tile.owned)
            part = (group // B) * col_blocks + pid % col_blocks
            tl.store(partials + (part * COUNT + index) * C + channel, total, mask=channel < C)
        else:
            blocks = row_blocks * col_blocks
            group = pid // blocks
            if tile.owned == tile.lanes:
                part = (group // channels) * blocks + pid % blocks
                tl.store(partials + (part * COUNT + index) * channels + group % channels, total)
            else:
                plane = group * (tile.lanes // tile.owned) + tl.arange(0, tile.lanes // tile.owned)
                part = (plane // channels) * blocks + pid % blocks
                target = partials + (part * COUNT + index) * channels + plane % channels
                tl.store(target, total, mask=plane < planes)


# --- loading and storing rows ------------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Features that are loaded.

    Attributes:
        u: Pointer of each lane to its first pixel.
        v: The same for a second branch, which is added.
        norms: Mean, factor and shift of the norm of u, and of v if there is a second branch. Empty if u is loaded as it is.
    """

    u: Any
    v: Any
    norms: Any


@triton.jit
def unpack(wide, LANES: tl.constexpr, N: tl.constexpr):
    """Convert a tensor (LANES, N) to a tuple of N tensors. Each value stays in its thread."""
    if N == 1:
        return (tl.reshape(wide, (LANES,)),)
    elif N == 2:
        return tl.split(wide)
    else:
        even, odd = tl.split(tl.reshape(wide, (LANES, N // 2, 2)))
        evens = unpack(even, LANES, N // 2)
        odds = unpack(odd, LANES, N // 2)
        values = ()
        for i in tl.static_range(N // 2):
            values = values + (evens[i], odds[i])
        return values


@triton.jit
def pack(values, LANES: tl.constexpr, N: tl.constexpr, FIRST: tl.constexpr, STEP: tl.constexpr):
    """Convert N values of a tuple, from ``FIRST`` in steps of ``STEP``, to a tensor (LANES, N)."""
    if N == 1:
        return tl.reshape(values[FIRST], (LANES, 1))
    elif N == 2:
        return tl.join(values[FIRST], values[FIRST + STEP])
    else:
        even = pack(values, LANES, N // 2, FIRST, 2 * STEP)
        odd = pack(values, LANES, N // 2, FIRST + STEP, 2 * STEP)
        return tl.reshape(tl.join(even, odd), (LANES, N))


@triton.jit
def is_inside(here, j, lanes, tile: tl.constexpr):
    """Return whether column ``j``, relative to the first column of a lane, is in the map."""
    if j < 0:
        return here & (lanes.column > 0)
    elif j >= tile.columns or (not tile.full and j >= (1 if tile.last else tile.vector)):
        return here & (lanes.column + j < lanes.width)
    else:
        return here


@triton.jit
def load_floats(pointer, mask, LANES: tl.constexpr, N: tl.constexpr):
    """Load N adjacent values for each lane, in float32, as a tuple."""
    if N == 1:
        return (tl.load(pointer, mask=mask, other=0.0).to(tl.float32),)
    else:
        wide = tl.load(pointer[:, None] + tl.arange(0, N)[None, :], mask=mask[:, None], other=0.0)
        return unpack(wide.to(tl.float32), LANES, N)


@triton.jit
def load_chunk(source, at, j, here, lanes, N: tl.constexpr, tile: tl.constexpr):
    """Load N columns of a row from column ``j`` on, and compute x from the branches. It is zero outside of the map.

    The results of the norms and their sum are rounded to the type of the features, as in torch's modules.
    """
    mask = is_inside(here, j, lanes, tile)
    first = load_floats(source.u + at + j * lanes.stride, mask, tile.lanes, N)
    if len(source.norms) == 0:
        return first
    else:
        dtype: tl.constexpr = source.u.dtype.element_ty
        norms = source.norms
        scale = tl.where(mask, norms[1], 0.0)
        shift = tl.where(mask, norms[2], 0.0)
        values = ()
        if len(source.norms) == 3:
            for i in tl.static_range(N):
                values = values + (((first[i] - norms[0]) * scale + shift).to(dtype).to(tl.float32),)
        else:
            second = load_floats(source.v + at + j * lanes.stride, mask, tile.lanes, N)
            scale2 = tl.where(mask, norms[4], 0.0)
            shift2 = tl.where(mask, norms[5], 0.0)
            for i in tl.static_range(N):
                a = ((first[i] - norms[0]) * scale + shift).to(dtype).to(tl.float32)
                b = ((second[i] - norms[3]) * scale2 + shift2).to(dtype).to(tl.float32)
                values = values + ((a + b).to(dtype).to(tl.float32),)
        return values


@triton.jit
def load_row(source, row, here, lanes, HALO: tl.constexpr, tile: tl.constexpr):
    """Load a row of pixels of each lane with ``HALO`` more on both sides, in float32. They are zero outside of the map.

    Args:
        source: The features.
        row: The row, relative to the first row of a lane.
        here: Whether it is in the map.
    """
    # A pair of columns is one load if rows have an even length, because the first column of a lane is then even.
    SIDE: tl.constexpr = 2 if HALO % 2 == 0 and tile.vector > 1 and not tile.last else 1
    STEP: tl.constexpr = 1 if tile.last else tile.vector
    at = row * lanes.pitch
    values = ()
    for i in tl.static_range(HALO // SIDE):
        values = values + load_chunk(source, at, i * SIDE - HALO, here, lanes, SIDE, tile)
    for i in tl.static_range(tile.columns // STEP):
        values = values + load_chunk(source, at, i * STEP, here, lanes, STEP, tile)
    for i in tl.static_range(HALO // SIDE):
        values = values + load_chunk(source, at, i * SIDE + tile.columns, here, lanes, SIDE, tile)
    return values


@triton.jit
def load_rows_above(source, lanes, ABOVE: tl.constexpr, HALO: tl.constexpr, COUNT: tl.constexpr, tile: tl.constexpr):
    """Load the window's first ``COUNT`` rows. The first one is ``ABOVE`` rows above the first row of a lane."""
    window = ()
    for i in tl.static_range(COUNT):
        here = lanes.exists & (lanes.row + i >= ABOVE) & (lanes.row + i - ABOVE < lanes.height)
        window = window + (load_row(source, i - ABOVE, here, lanes, HALO, tile),)
    return window


@triton.jit
def rows_from(window, FIRST: tl.constexpr, COUNT: tl.constexpr):
    """Return ``COUNT`` rows of the window from row ``FIRST`` on."""
    kept = ()
    for i in tl.static_range(COUNT):
        kept = kept + (window[FIRST + i],)
    return kept


@triton.jit
def store_row(pointer, values, factor, here, lanes, tile: tl.constexpr):
    """Store a row of pixels of each lane, multiplied by ``factor``."""
    COLS: tl.constexpr = tile.columns
    STEP: tl.constexpr = 1 if tile.last else tile.vector
    scaled = ()
    for j in tl.static_range(COLS):
        scaled = scaled + (values[j] * factor,)
    for i in tl.static_range(COLS // STEP):
        mask = is_inside(here, i * STEP, lanes, tile)
        if STEP == 1:
            target = pointer + i * lanes.stride
            tl.store(target, scaled[i].to(pointer.dtype.element_ty), mask=mask)
        else:
            wide = pack(scaled, tile.lanes, STEP, i * STEP, 1).to(pointer.dtype.element_ty)
            target = pointer[:, None] + i * STEP + tl.arange(0, STEP)[None, :]
            tl.store(target, wide, mask=mask[:, None])


# --- norms and windows -------------------------------------------------------------------------------------------------


@triton.jit
def load_norm(norm, channel):
    """Load mean, factor, shift and reciprocal standard deviation of a norm."""
    mean, variance, scale, shift, eps = norm
    reciprocal = 1.0 / tl.sqrt_rn(tl.load(variance + channel).to(tl.float32) + eps)
    factor = reciprocal * tl.load(scale + channel).to(tl.float32)
    return (
        tl.load(mean + channel).to(tl.float32),
        factor,
        tl.load(shift + channel).to(tl.float32),
        reciprocal,
    )


@triton.jit
def source_of(u, v, norm, norm2, lanes, form: tl.constexpr):
    """Return the :class:`Source` of x."""
    if not form.normed:
        return Source(u + lanes.offset, u, ())
    else:
        c1, f1, s1, _ = load_norm(norm, lanes.channel)
        if not form.two:
            return Source(u + lanes.offset, u, (c1, f1, s1))
        else:
            c2, f2, s2, _ = load_norm(norm2, lanes.channel)
            return Source(u + lanes.offset, v + lanes.offset, (c1, f1, s1, c2, f2, s2))


@triton.jit
def load_conditions(norm, bias, norm2, bias2, channel, form: tl.constexpr):
    """Load the norm of each window: mean of its sums without bias, factor, shift and reciprocal standard deviation."""
    centre, factor, shift, reciprocal = load_norm(norm, channel)
    first = (centre - tl.load(bias + channel).to(tl.float32), factor, shift, reciprocal)
    if not form.light:
        return (first,)
    else:
        centre, factor, shift, reciprocal = load_norm(norm2, channel)
        return (first, (centre - tl.load(bias2 + channel).to(tl.float32), factor, shift, reciprocal))


@triton.jit
def load_taps(wa, wb, channel, form: tl.constexpr):
    """Load the weights of one window, or those of the row followed by those of the column."""
    COUNT: tl.constexpr = form.size if form.light else form.size * form.size
    taps = ()
    for t in tl.static_range(COUNT):
        taps = taps + (tl.load(wa + channel * COUNT + t).to(tl.float32),)
    if form.light:
        for t in tl.static_range(COUNT):
            taps = taps + (tl.load(wb + channel * COUNT + t).to(tl.float32),)
    return taps


@triton.jit
def slide(
    rows, taps, start, FIRST: tl.constexpr, ROW: tl.constexpr, COLUMN: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr
):
    """Return ``start`` plus the sum of a window whose first tap is at ``ROW`` and ``COLUMN``."""
    total = start
    for a in tl.static_range(KH):
        for b in tl.static_range(KW):
            total += rows[ROW + a][COLUMN + b] * taps[FIRST + a * KW + b]
    return total


@triton.jit
def window_sums(rows, taps, starts, ROW: tl.constexpr, COLUMN: tl.constexpr, form: tl.constexpr):
    """Return the sum of each window for the pixel in the centre of the pixels that start at ``ROW`` and ``COLUMN``."""
    K: tl.constexpr = form.size
    if form.light:
        across = slide(rows, taps, starts[0], 0, ROW + K // 2, COLUMN, 1, K)
        return (across, slide(rows, taps, starts[1], K, ROW, COLUMN + K // 2, K, 1))
    else:
        return (slide(rows, taps, starts[0], 0, ROW, COLUMN, K, K),)


@triton.jit
def starts_of(conditions, form: tl.constexpr):
    """Return where each window's sum starts, so that it is centred."""
    WINDOWS: tl.constexpr = form.windows
    starts = ()
    for k in tl.static_range(WINDOWS):
        starts = starts + (-conditions[k][0],)
    return starts


@triton.jit
def larger(a, b):
    """Return the maximum. NaN propagates, as in ``torch.maximum``."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def condition_of(values, form: tl.constexpr):
    """Combine the values of the windows into one condition."""
    if form.light == 0:
        return values[0]
    elif form.light == 1:
        return values[0] + values[1]
    else:
        return larger(values[0], values[1])


@triton.jit
def share(gradient, mine, other):
    """Return the part of the gradient of a maximum that ``mine`` gets, which is half if both are equal, as in ``torch.maximum``."""
    if SATURATE:
        # 0, 0.5 or 1 in one instruction: (mine - other) * 2**100 + 0.5, saturated.
        part = tl.inline_asm_elementwise(
            'fma.rn.sat.f32 $0, $1, 0f71800000, 0f3F000000;', '=f,f', [mine - other], dtype=tl.float32, is_pure=True, pack=1
        )
        return gradient * part
    else:
        return tl.where(mine == other, 0.5 * gradient, tl.where(mine < other, 0.0, gradient))


@triton.jit
def shares_of(gradient, sums, conditions, x, form: tl.constexpr):
    """Return the part of the gradient of ``max(x, T)`` that ``T`` gets, and the part that the value of each window gets."""
    first = sums[0] * conditions[0][1] + conditions[0][2]
    if form.light == 0:
        part = share(gradient, first, x)
        return part, (part,)
    else:
        second = sums[1] * conditions[1][1] + conditions[1][2]
        part = share(gradient, condition_of((first, second), form), x)
        if form.light == 1:
            return part, (part, part)
        else:
            own = share(part, first, second)
            return part, (own, part - own)


# --- forward -----------------------------------------------------------------------------------------------------------


@triton.jit
def moments_kernel(
    u, v, partials, wa, wb, m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2,
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks,
    form: tl.constexpr, tile: tl.constexpr,
):
    """Compute parts of the count, the sum and the squared deviations of the windows' sums.

    With a window of size 1 and weights of one, they are the moments of ``u``.
    """
    COLS: tl.constexpr = tile.columns
    U: tl.constexpr = tile.unrolled
    P: tl.constexpr = form.size // 2
    WINDOWS: tl.constexpr = form.windows
    sizes = (planes, channels, H, width, B, R, rows, row_blocks, col_blocks)
    lanes = locate(sizes, tile, False)
    x = source_of(u, v, (m1, v1, g1, b1, eps1), (m2, v2, g2, b2, eps2), lanes, form)
    taps = load_taps(wa, wb, lanes.channel, form)
    window = load_rows_above(x, lanes, P, P, 2 * P, tile)
    # Deviations are computed from an estimate of the mean: the sum of the window over a map with the value of the first pixel.
    first = load_row(x, 0, lanes.exists, lanes, 0, tile)[0]
    origins = ()
    totals = ()
    for k in tl.static_range(WINDOWS):
        gain = taps[k * form.size]
        for t in tl.static_range(1, form.taps // WINDOWS):
            gain += taps[k * form.size + t]
        origins = origins + (-first * gain,)
        totals = totals + (zeros(tile), zeros(tile))
    count = zeros(tile)
    for step in range(0, rows, U):
        for i in tl.static_range(U):
            below = step + i + P
            here = lanes.exists & (lanes.row + below < H)
            window = window + (load_row(x, below, here, lanes, P, tile),)
        for i in tl.static_range(U):
            here = lanes.exists & (lanes.row + step + i < H)
            for j in tl.static_range(COLS):
                mask = is_inside(here, j, lanes, tile)
                sums = window_sums(window, taps, origins, i, j, form)
                grown = ()
                for k in tl.static_range(WINDOWS):
                    own = tl.where(mask, sums[k], 0.0)
                    grown = grown + (totals[2 * k] + own, totals[2 * k + 1] + own * own)
                totals = grown
                count += tl.where(mask, 1.0, 0.0)
        window = rows_from(window, U, 2 * P)
    parts = ()
    for k in tl.static_range(WINDOWS):
        s = totals[2 * k]
        some = tl.maximum(count, 1.0)
        total = s - count * origins[k]
        squares = totals[2 * k + 1] - s * (s / some)
        joint = total_to_lanes(count, tile)
        centre = total_to_lanes(total, tile) / tl.maximum(joint, 1.0)
        away = total / some - centre
        parts = parts + (count, total, tl.where(count > 0, squares + count * away * away, 0.0))
    put_parts(partials, parts, sizes, tile, 3 * WINDOWS, False)


@triton.jit
def finish_moments_kernel(
    partials, mean, variance, running_mean, running_var, batches, bias, momentum, C, parts, first,
    COUNT: tl.constexpr, CUMULATIVE: tl.constexpr, CHANNELS: tl.constexpr, PARTS: tl.constexpr,
):
    """Compute mean and biased variance from their parts, which start at number ``first``, and update running statistics.

    With ``CUMULATIVE`` the running statistics are averages over all batches, and ``batches`` has already been incremented.
    Otherwise this kernel increments it.
    """
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    there = channel < C
    part = tl.arange(0, PARTS)[:, None]
    start = partials + first * C + channel[None, :]
    step = COUNT * C
    n = tl.zeros((PARTS, CHANNELS), tl.float32)
    total = tl.zeros((PARTS, CHANNELS), tl.float32)
    for low in range(0, parts, PARTS):
        mask = there[None, :] & (low + part < parts)
        n += tl.load(start + (low + part) * step, mask=mask, other=0.0)
        total += tl.load(start + (low + part) * step + C, mask=mask, other=0.0)
    count = tl.sum(n, axis=0)
    centre = tl.sum(total, axis=0) / tl.maximum(count, 1.0)
    squares = tl.zeros((PARTS, CHANNELS), tl.float32)
    for low in range(0, parts, PARTS):
        mask = there[None, :] & (low + part < parts)
        own = tl.load(start + (low + part) * step, mask=mask, other=0.0)
        away = tl.load(start + (low + part) * step + C, mask=mask, other=0.0) / tl.maximum(own, 1.0) - centre[None, :]
        squares += tl.load(start + (low + part) * step + 2 * C, mask=mask, other=0.0) + own * away * away
    square = tl.sum(squares, axis=0)
    tl.store(mean + channel, centre, mask=there)
    tl.store(variance + channel, square / tl.maximum(count, 1.0), mask=there)
    if running_mean is not None:
        moved = centre
        if bias is not None:
            moved += tl.load(bias + channel, mask=there, other=0.0).to(tl.float32)
        weight = momentum
        if CUMULATIVE:
            weight = 1.0 / tl.load(batches).to(tl.float32)
        old = tl.load(running_mean + channel, mask=there, other=0.0)
        tl.store(running_mean + channel, old + weight * (moved - old), mask=there)
        old = tl.load(running_var + channel, mask=there, other=0.0)
        unbiased = square / (count - 1.0)
        tl.store(running_var + channel, old + weight * (unbiased - old), mask=there)
    if batches is not None:
        if not CUMULATIVE:
            if tl.program_id(0) == 0:
                tl.store(batches, tl.load(batches) + 1)


@triton.jit
def activate_kernel(
    u, v, y, wa, wb, m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2,
    ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb,
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks,
    form: tl.constexpr, tile: tl.constexpr,
):
    """Compute ``y = max(x, T(x))``."""
    WINDOWS: tl.constexpr = form.windows
    COLS: tl.constexpr = tile.columns
    U: tl.constexpr = tile.unrolled
    P: tl.constexpr = form.size // 2
    lanes = locate((planes, channels, H, width, B, R, rows, row_blocks, col_blocks), tile, True)
    x = source_of(u, v, (m1, v1, g1, b1, eps1), (m2, v2, g2, b2, eps2), lanes, form)
    taps = load_taps(wa, wb, lanes.channel, form)
    conditions = load_conditions((ma, va, ga, ba, epsa), ca, (mb, vb, gb, bb, epsb), cb, lanes.channel, form)
    starts = starts_of(conditions, form)
    window = load_rows_above(x, lanes, P, P, 2 * P, tile)
    for step in range(0, rows, U):
        for i in tl.static_range(U):
            below = step + i + P
            here = lanes.exists & (lanes.row + below < H)
            window = window + (load_row(x, below, here, lanes, P, tile),)
        for i in tl.static_range(U):
            here = lanes.exists & (lanes.row + step + i < H)
            out = ()
            for j in tl.static_range(COLS):
                sums = window_sums(window, taps, starts, i, j, form)
                values = ()
                for k in tl.static_range(WINDOWS):
                    values = values + (sums[k] * conditions[k][1] + conditions[k][2],)
                out = out + (larger(window[i + P][j + P], condition_of(values, form)),)
            store_row(y + lanes.offset + (step + i) * lanes.pitch, out, 1.0, here, lanes, tile)
        window = rows_from(window, U, 2 * P)


# --- backward ----------------------------------------------------------------------------------------------------------


@triton.jit
def sums_kernel(
    u, v, grad, partials, wa, wb, m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2,
    ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb,
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks,
    form: tl.constexpr, tile: tl.constexpr,
):
    """Compute parts of two sums for each window: of the gradient of its values, and of the products with the centred sums."""
    COLS: tl.constexpr = tile.columns
    U: tl.constexpr = tile.unrolled
    P: tl.constexpr = form.size // 2
    WINDOWS: tl.constexpr = form.windows
    sizes = (planes, channels, H, width, B, R, rows, row_blocks, col_blocks)
    lanes = locate(sizes, tile, False)
    x = source_of(u, v, (m1, v1, g1, b1, eps1), (m2, v2, g2, b2, eps2), lanes, form)
    of_y = Source(grad + lanes.offset, grad, ())
    taps = load_taps(wa, wb, lanes.channel, form)
    conditions = load_conditions((ma, va, ga, ba, epsa), ca, (mb, vb, gb, bb, epsb), cb, lanes.channel, form)
    starts = starts_of(conditions, form)
    totals = (zeros(tile),) * (2 * WINDOWS)
    window = load_rows_above(x, lanes, P, P, 2 * P, tile)
    for step in range(0, rows, U):
        grads = ()
        for i in tl.static_range(U):
            below = step + i + P
            here = lanes.exists & (lanes.row + below < H)
            window = window + (load_row(x, below, here, lanes, P, tile),)
            here = lanes.exists & (lanes.row + step + i < H)
            grads = grads + (load_row(of_y, step + i, here, lanes, 0, tile),)
        for i in tl.static_range(U):
            for j in tl.static_range(COLS):
                sums = window_sums(window, taps, starts, i, j, form)
                _, shares = shares_of(grads[i][j], sums, conditions, window[i + P][j + P], form)
                grown = ()
                for k in tl.static_range(WINDOWS):
                    grown = grown + (totals[2 * k] + shares[k], totals[2 * k + 1] + shares[k] * sums[k])
                totals = grown
        window = rows_from(window, U, 2 * P)
    put_parts(partials, totals, sizes, tile, 2 * WINDOWS, False)


@triton.jit
def total_of_parts(partials, channel, there, number, C, parts, COUNT: tl.constexpr, CHANNELS: tl.constexpr, PARTS: tl.constexpr):
    """Add up the parts of one number for some channels."""
    part = tl.arange(0, PARTS)[:, None]
    total = tl.zeros((PARTS, CHANNELS), tl.float32)
    for low in range(0, parts, PARTS):
        mask = there[None, :] & (low + part < parts)
        total += tl.load(partials + ((low + part) * COUNT + number) * C + channel[None, :], mask=mask, other=0.0)
    return tl.sum(total, axis=0)


@triton.jit
def finish_sums_kernel(
    partials, means, of_scale, of_shift, variance, eps, count, C, parts, first,
    COUNT: tl.constexpr, CHANNELS: tl.constexpr, PARTS: tl.constexpr,
):
    """Add up the parts of two sums, from number ``first`` on. Store them, divided by ``count``, in ``means`` (2, C).

    The gradients of scale and shift of the norm are stored too, if their pointers are given.
    """
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    there = channel < C
    plain = total_of_parts(partials, channel, there, first, C, parts, COUNT, CHANNELS, PARTS)
    weighted = total_of_parts(partials, channel, there, first + 1, C, parts, COUNT, CHANNELS, PARTS)
    tl.store(means + channel, plain / count, mask=there)
    tl.store(means + C + channel, weighted / count, mask=there)
    if of_scale is not None:
        reciprocal = 1.0 / tl.sqrt_rn(tl.load(variance + channel, mask=there, other=1.0) + eps)
        tl.store(of_scale + channel, weighted * reciprocal, mask=there)
    if of_shift is not None:
        tl.store(of_shift + channel, plain, mask=there)


@triton.jit
def gradient_kernel(
    u, v, grad, du, dv, partials, meansa, meansb, wa, wb, m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2,
    ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb,
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks,
    BATCH: tl.constexpr, SCALED: tl.constexpr, VALUES: tl.constexpr, COUNT: tl.constexpr, form: tl.constexpr, tile: tl.constexpr,
):
    """Compute the gradients of the branches, and parts of the gradients of the taps and of the norms.

    With ``SCALED`` the gradients of the branches, which have fixed norms, are stored in ``du`` and ``dv``; otherwise the gradient
    of x is stored in ``du``. With ``BATCH`` the windows have batch norms, and ``meansa`` and ``meansb`` are the means that these
    subtract. There are ``COUNT`` numbers, in this order: the taps; without ``BATCH``, for each window the sum of the gradient of its
    values, and of the products with the centred sums; with ``form.normed``, from number ``VALUES`` on, the sum of the gradient of
    x, and of the products with each centred branch.

    Row k of the sums contributes to the rows k - P to k + P of dx. These rows are accumulated until they are complete.
    """
    U: tl.constexpr = tile.unrolled
    K: tl.constexpr = form.size
    P: tl.constexpr = K // 2
    WINDOWS: tl.constexpr = form.windows
    TAPS: tl.constexpr = form.taps
    COLS: tl.constexpr = tile.columns
    sizes = (planes, channels, H, width, B, R, rows, row_blocks, col_blocks)
    lanes = locate(sizes, tile, True)
    x = source_of(u, v, (m1, v1, g1, b1, eps1), (m2, v2, g2, b2, eps2), lanes, form)
    of_y = Source(grad + lanes.offset, grad, ())
    taps = load_taps(wa, wb, lanes.channel, form)
    conditions = load_conditions((ma, va, ga, ba, epsa), ca, (mb, vb, gb, bb, epsb), cb, lanes.channel, form)
    starts = starts_of(conditions, form)
    zero = zeros(tile)
    levels = ()
    slopes = ()
    if BATCH:
        C = channels * tile.vector if tile.last else channels
        for k in tl.static_range(WINDOWS):
            means = (meansa if k == 0 else meansb) + lanes.channel
            factor = conditions[k][1]
            levels = levels + (-factor * tl.load(means),)
            slopes = slopes + (-factor * conditions[k][3] * conditions[k][3] * tl.load(means + C),)
    totals = (zero,) * COUNT
    growing = ((zero,) * COLS,) * (2 * P)  # dx of the rows that are not complete
    window = load_rows_above(x, lanes, 2 * P, 2 * P, 2 * P, tile)
    for step in range(-P, rows + P, U):
        grads = ()
        for i in tl.static_range(U):
            below = step + i + P
            here = lanes.exists & (lanes.row + below >= 0) & (lanes.row + below < H)
            window = window + (load_row(x, below, here, lanes, 2 * P, tile),)
            here = lanes.exists & (lanes.row + step + i >= 0) & (lanes.row + step + i < H)
            grads = grads + (load_row(of_y, step + i, here, lanes, P, tile),)
        for i in tl.static_range(U):
            k_row = lanes.row + step + i
            valid = lanes.exists & (k_row >= 0) & (k_row < H)
            # Rows of adjacent strips contribute to dx of this strip, but not to its sums.
            counts = (step + i >= 0) & (step + i < rows)
            centre_row = window[i + P]
            dz = ()
            arriving = ()
            plain = (zero,) * WINDOWS
            weighted = (zero,) * WINDOWS
            for j in tl.static_range(COLS + 2 * P):
                sums = window_sums(window, taps, starts, i, j, form)
                part, shares = shares_of(grads[i][j], sums, conditions, centre_row[j + P], form)
                inside = is_inside(valid, j - P, lanes, tile)
                values = ()
                for k in tl.static_range(WINDOWS):
                    value = shares[k] * conditions[k][1]
                    if BATCH:
                        value += tl.where(inside, slopes[k], 0.0) * sums[k] + tl.where(inside, levels[k], 0.0)
                    values = values + (value,)
                dz = dz + (values,)
                if j >= P and j < COLS + P:
                    arriving = arriving + (grads[i][j] - part,)
                    if not BATCH:
                        more = ()
                        products = ()
                        for k in tl.static_range(WINDOWS):
                            more = more + (plain[k] + shares[k],)
                            products = products + (weighted[k] + shares[k] * sums[k],)
                        plain = more
                        weighted = products
            own = ()
            for j in tl.static_range(COLS):
                values = ()
                for k in tl.static_range(WINDOWS):
                    values = values + (tl.where(counts, dz[j + P][k], 0.0),)
                own = own + (values,)
            grown = ()
            for t in tl.static_range(TAPS):
                total = totals[t]
                for j in tl.static_range(COLS):
                    if not form.light:
                        total += own[j][0] * window[i + t // K][j + P + t % K]
                    elif t < K:
                        total += own[j][0] * centre_row[j + P + t]
                    else:
                        total += own[j][1] * window[i + t - K][j + 2 * P]
                grown = grown + (total,)
            if not BATCH:
                for k in tl.static_range(WINDOWS):
                    grown = grown + (
                        totals[TAPS + 2 * k] + tl.where(counts, plain[k], 0.0),
                        totals[TAPS + 2 * k + 1] + tl.where(counts, weighted[k], 0.0),
                    )
            next_rows = ()
            for a in tl.static_range(K):
                next_row = ()
                for j in tl.static_range(COLS):
                    value = zero
                    if a < 2 * P:
                        value = growing[a][j]
                    if a == P:
                        value += arriving[j]
                    if not form.light:
                        for b in tl.static_range(K):
                            value += dz[j + 2 * P - b][0] * taps[a * K + b]
                    else:
                        if a == P:
                            for b in tl.static_range(K):
                                value += dz[j + 2 * P - b][0] * taps[b]
                        value += dz[j + P][1] * taps[K + a]
                    next_row = next_row + (value,)
                next_rows = next_rows + (next_row,)
            done = next_rows[0]
            growing = rows_from(next_rows, 1, 2 * P)
            # Row k - P is complete.
            back = step + i - P
            mine = lanes.exists & (step + i >= P) & (k_row - P < H)
            if form.normed:
                first = load_row(Source(x.u, x.u, ()), back, mine, lanes, 0, tile)
                total = zero
                product = zero
                product2 = zero
                if form.two:
                    second = load_row(Source(x.v, x.v, ()), back, mine, lanes, 0, tile)
                for j in tl.static_range(COLS):
                    value = tl.where(is_inside(mine, j, lanes, tile), done[j], 0.0)
                    total += value
                    product += value * (first[j] - x.norms[0])
                    if form.two:
                        product2 += value * (second[j] - x.norms[3])
                grown = grown + (totals[VALUES] + total, totals[VALUES + 1] + product)
                if form.two:
                    grown = grown + (totals[VALUES + 2] + product2,)
            totals = grown
            at = lanes.offset + back * lanes.pitch
            if SCALED:
                store_row(du + at, done, x.norms[1], mine, lanes, tile)
                if form.two:
                    store_row(dv + at, done, x.norms[4], mine, lanes, tile)
            else:
                store_row(du + at, done, 1.0, mine, lanes, tile)
        window = rows_from(window, U, 2 * P)
    put_parts(partials, totals, sizes, tile, COUNT, True)


@triton.jit
def put(pointer, values, channel, there):
    """Store one value for each channel, unless the pointer is None."""
    if pointer is not None:
        tl.store(pointer + channel, values.to(pointer.dtype.element_ty), mask=there)


@triton.jit
def finish_window(
    partials, number, first, of_scale, of_shift, of_bias, variance, scale, eps, channel, there, C, parts,
    COUNT: tl.constexpr, CHANNELS: tl.constexpr, PARTS: tl.constexpr,
):
    """Compute the gradients of scale, shift and bias of a window with a fixed norm or without norm."""
    total = total_of_parts(partials, channel, there, number, C, parts, COUNT, CHANNELS, PARTS)
    reciprocal = 1.0 / tl.sqrt_rn(tl.load(variance + channel, mask=there, other=1.0).to(tl.float32) + eps)
    if number == first:
        put(of_shift, total, channel, there)
        factor = reciprocal * tl.load(scale + channel, mask=there, other=0.0).to(tl.float32)
        put(of_bias, total * factor, channel, there)
    else:
        put(of_scale, total * reciprocal, channel, there)


@triton.jit
def finish_gradient_kernel(
    partials, dwa, dwb, dga, dba, dca, dgb, dbb, dcb, va, ga, epsa, vb, gb, epsb,
    dg1, db1, v1, eps1, dg2, db2, v2, eps2, means, count, C, parts,
    BATCH: tl.constexpr, VALUES: tl.constexpr, COUNT: tl.constexpr, form: tl.constexpr,
    CHANNELS: tl.constexpr, PARTS: tl.constexpr,
):
    """Add up the parts of :func:`gradient_kernel`. Each program has some channels of one number.

    If ``means`` (3, C) is given, the means that the batch norms of the branches subtract are stored in it.
    """
    TAPS: tl.constexpr = form.taps
    OWN: tl.constexpr = TAPS // form.windows
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    there = channel < C
    number = tl.program_id(1)
    if number < TAPS:
        total = total_of_parts(partials, channel, there, number, C, parts, COUNT, CHANNELS, PARTS)
        if BATCH:
            # A shift of all values of a channel does not change the output of a batch norm.
            if number == 0:
                put(dca, tl.zeros((CHANNELS,), tl.float32), channel, there)
                put(dcb, tl.zeros((CHANNELS,), tl.float32), channel, there)
        if number < OWN:
            tl.store(dwa + channel * OWN + number, total.to(dwa.dtype.element_ty), mask=there)
        else:
            if form.light:
                tl.store(dwb + channel * OWN + number - OWN, total.to(dwb.dtype.element_ty), mask=there)
    elif number < VALUES:
        if number < TAPS + 2:
            finish_window(
                partials, number, TAPS, dga, dba, dca, va, ga, epsa, channel, there, C, parts, COUNT, CHANNELS, PARTS
            )
        else:
            if form.light:
                finish_window(
                    partials, number, TAPS + 2, dgb, dbb, dcb, vb, gb, epsb, channel, there, C, parts, COUNT, CHANNELS, PARTS
                )
    else:
        if form.normed:
            total = total_of_parts(partials, channel, there, number, C, parts, COUNT, CHANNELS, PARTS)
            if means is not None:
                tl.store(means + (number - VALUES) * C + channel, total / count, mask=there)
            if number == VALUES:
                put(db1, total, channel, there)
                put(db2, total, channel, there)
            elif number == VALUES + 1:
                reciprocal = 1.0 / tl.sqrt_rn(tl.load(v1 + channel, mask=there, other=1.0) + eps1)
                put(dg1, total * reciprocal, channel, there)
            else:
                reciprocal = 1.0 / tl.sqrt_rn(tl.load(v2 + channel, mask=there, other=1.0) + eps2)
                put(dg2, total * reciprocal, channel, there)


@triton.jit
def norms_kernel(
    dx, u, v, du, dv, means, m1, v1, g1, eps1, m2, v2, g2, eps2, C, positions,
    LAST: tl.constexpr, A: tl.constexpr, D: tl.constexpr,
):
    """Compute the gradients of branches with batch norms from the gradient of x. ``v`` is None if only ``u`` has a batch norm.

    In NCHW, a program has D positions of one plane; in channels_last, A positions of D channels.
    """
    if LAST:
        channel = tl.program_id(1) * D + tl.arange(0, D)[None, :]
        position = tl.program_id(0) * A + tl.arange(0, A)[:, None]
        mask = (channel < C) & (position < positions)
        offset = position.to(tl.int64) * C + channel
        channel = tl.minimum(channel, C - 1)
    else:
        plane = tl.program_id(0)
        channel = plane % C
        position = tl.program_id(1) * D + tl.arange(0, D)
        mask = position < positions
        offset = plane.to(tl.int64) * positions + position
    gradient = tl.load(dx + offset, mask=mask, other=0.0).to(tl.float32)
    gradient -= tl.load(means + channel)
    reciprocal = 1.0 / tl.sqrt_rn(tl.load(v1 + channel) + eps1)
    slope = reciprocal * reciprocal * tl.load(means + C + channel)
    away = tl.load(u + offset, mask=mask, other=0.0).to(tl.float32) - tl.load(m1 + channel)
    factor = reciprocal * tl.load(g1 + channel)
    tl.store(du + offset, (factor * (gradient - away * slope)).to(du.dtype.element_ty), mask=mask)
    if v is not None:
        reciprocal = 1.0 / tl.sqrt_rn(tl.load(v2 + channel) + eps2)
        slope = reciprocal * reciprocal * tl.load(means + 2 * C + channel)
        away = tl.load(v + offset, mask=mask, other=0.0).to(tl.float32) - tl.load(m2 + channel)
        factor = reciprocal * tl.load(g2 + channel)
        tl.store(dv + offset, (factor * (gradient - away * slope)).to(dv.dtype.element_ty), mask=mask)
