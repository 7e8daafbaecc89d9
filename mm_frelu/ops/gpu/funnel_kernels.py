r"""Triton kernels of the funnel activation and the norms before it.

A lane (one element of a Triton tensor) computes ``COLS`` adjacent pixels of one channel. It steps down through ``rows`` rows and
keeps a window of rows in registers, as tuples of tensors. Each lane therefore loads each pixel once, and keeps its sums in
registers until the end. In NCHW, adjacent lanes have adjacent columns; in channels_last (``LAST``), adjacent channels. ``x`` is
computed from the branches as they are loaded. The sums of the windows and ``T`` are recomputed in each kernel that needs them.
Arithmetic is in float32.

Each program writes its part of a sum over a channel, in the layout ``(part, number, channel)``. Small kernels add the parts up,
always in the same order. Argument names: ``u`` and ``v`` are the branches; ``m1, v1, g1, b1, eps1`` are mean, variance, scale,
shift and epsilon of the norm after ``u``, and ``m2`` to ``eps2`` those of the norm after ``v``; ``wa`` and ``wb`` are the weights
of the windows, ``ma, va, ga, ba, epsa`` and ``mb`` to ``epsb`` their norms, and ``ca`` and ``cb`` the biases of their
convolutions. A missing norm has mean 0, variance 1, scale 1, shift 0 and epsilon 0, which leaves every value bitwise unchanged.

``K`` is the size of the window. With ``LIGHT`` there are two windows, a row and a column, which are combined by their sum or, if
``LIGHT == 2``, by their maximum. ``TWO`` means that there is a second branch.
"""

# Triton has no structs, so the same long argument lists occur in every kernel. With one argument per line they would hide the code.
# fmt: off

import triton
import triton.language as tl

from .launch import INTERPRETED

SIZES = ('planes', 'channels', 'H', 'width', 'B', 'R', 'rows', 'row_blocks', 'col_blocks')
"""Arguments on whose values Triton must not specialise a kernel."""
NUMBERS = (*SIZES, 'parts', 'count', 'C', 'first', 'positions')
SATURATE = tl.constexpr(not INTERPRETED)


# --- position of a lane------------------------------------------------------------------------------------------------


@triton.jit
def program(REVERSE: tl.constexpr):
    """Return the index of this program. With REVERSE the order is reversed: what the previous kernel read last is in the L2 cache."""
    pid = tl.program_id(0)
    if REVERSE:
        pid = tl.num_programs(0) - 1 - pid
    return pid


@triton.jit
def locate(
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks,
    LANES: tl.constexpr, S: tl.constexpr, COLS: tl.constexpr, VEC: tl.constexpr, LAST: tl.constexpr, REVERSE: tl.constexpr,
):
    """Return the position of each lane.

    In NCHW, a program has ``LANES // S`` planes with ``S`` lanes each: ``R`` strips of rows with ``B`` groups of columns. In
    channels_last, a program has ``S`` channels of one image and ``LANES // S`` groups of columns, and ``B`` is the number of
    channel blocks.

    Returns:
        Offset of the first pixel; its channel, row and column; and whether it exists.
    """
    pid = program(REVERSE)
    lane = tl.arange(0, LANES)
    if LAST:
        C = channels * VEC
        group = pid // col_blocks
        channel = (group % B) * S + lane % S
        col = ((pid % col_blocks) * (LANES // S) + lane // S) * COLS
        image = group // (B * row_blocks)
        row0 = (group // B % row_blocks) * rows
        exists = (channel < C) & (col < width) & (row0 < H)
        offset = image.to(tl.int64) * H * width * C + ((row0 * width + col) * C + channel)
        channel = tl.minimum(channel, C - 1)  # all lanes read values of a channel
    else:
        W = width * VEC
        group = pid // (col_blocks * row_blocks)
        own = lane % S
        col = ((pid % col_blocks) * S + own % B) * COLS
        strip = own // B
        row0 = ((pid // col_blocks % row_blocks) * R + strip) * rows
        exists = (strip < R) & (col < W) & (row0 < H)
        if S == LANES:
            plane = group
        else:
            plane = group * (LANES // S) + lane // S
            exists = exists & (plane < planes)
            plane = tl.minimum(plane, planes - 1)
        channel = plane % channels
        offset = plane.to(tl.int64) * (H * W) + (row0 * W + col)
    return offset, channel, row0, col, exists


@triton.jit
def strides(channels, width, VEC: tl.constexpr, LAST: tl.constexpr):
    """Return the strides of columns and rows, and the number of columns."""
    if LAST:
        C = channels * VEC
        return C, width * C, width
    else:
        return 1, width * VEC, width * VEC


@triton.jit
def total_of_owner(value, LANES: tl.constexpr, S: tl.constexpr, LAST: tl.constexpr):
    """Sum over the lanes of a plane or, in channels_last, over those of a channel."""
    if LAST:
        return tl.sum(tl.reshape(value, (LANES // S, S)), axis=0)
    elif S == LANES:
        return tl.sum(value)
    else:
        return tl.sum(tl.reshape(value, (LANES // S, S)), axis=1)


@triton.jit
def total_to_lanes(value, LANES: tl.constexpr, S: tl.constexpr, LAST: tl.constexpr):
    """Compute the same sum, and broadcast it to the lanes."""
    total = total_of_owner(value, LANES, S, LAST)
    if LAST:
        return tl.reshape(tl.broadcast_to(total[None, :], (LANES // S, S)), (LANES,))
    elif S == LANES:
        return total
    else:
        return tl.reshape(tl.broadcast_to(total[:, None], (LANES // S, S)), (LANES,))


@triton.jit
def put_part(
    partials, value, index, COUNT: tl.constexpr, planes, channels, B, row_blocks, col_blocks,
    LANES: tl.constexpr, S: tl.constexpr, VEC: tl.constexpr, LAST: tl.constexpr, REVERSE: tl.constexpr,
):
    """Store the part of this program for sum number ``index`` of ``COUNT``."""
    pid = program(REVERSE)
    total = total_of_owner(value, LANES, S, LAST)
    if LAST:
        C = channels * VEC
        group = pid // col_blocks
        channel = (group % B) * S + tl.arange(0, S)
        part = (group // B) * col_blocks + pid % col_blocks
        tl.store(partials + (part * COUNT + index) * C + channel, total, mask=channel < C)
    else:
        blocks = row_blocks * col_blocks
        group = pid // blocks
        if S == LANES:
            part = (group // channels) * blocks + pid % blocks
            tl.store(partials + (part * COUNT + index) * channels + group % channels, total)
        else:
            plane = group * (LANES // S) + tl.arange(0, LANES // S)
            part = (plane // channels) * blocks + pid % blocks
            target = partials + (part * COUNT + index) * channels + plane % channels
            tl.store(target, total, mask=plane < planes)


# --- loading and storing rows ------------------------------------------------------------------------------------------


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
def is_inside(here, col, W, j, COLS: tl.constexpr, VEC: tl.constexpr, FULL: tl.constexpr, LAST: tl.constexpr):
    """Return whether column ``j``, relative to the first column of a lane, is in the map."""
    if j < 0:
        return here & (col > 0)
    elif j >= COLS or (not FULL and j >= (1 if LAST else VEC)):
        return here & (col + j < W)
    else:
        return here


@triton.jit
def load_floats(pointer, mask, LANES: tl.constexpr, N: tl.constexpr):
    """Load N adjacent values for each lane, in their own type."""
    if N == 1:
        return tl.load(pointer, mask=mask, other=0.0)
    else:
        return tl.load(pointer[:, None] + tl.arange(0, N)[None, :], mask=mask[:, None], other=0.0)


@triton.jit
def normed(
    u, v, mask, norms, LANES: tl.constexpr, N: tl.constexpr, NORMED: tl.constexpr, TWO: tl.constexpr
):
    """Compute x from the branches for N pixels, in float32. It is zero outside of the map.

    The results of the norms and their sum are rounded as in torch's modules.
    """
    first = unpack(u.to(tl.float32), LANES, N) if N > 1 else (u.to(tl.float32),)
    if not NORMED:
        return first
    else:
        scale = tl.where(mask, norms[1], 0.0)
        shift = tl.where(mask, norms[2], 0.0)
        values = ()
        if not TWO:
            for i in tl.static_range(N):
                values = values + (((first[i] - norms[0]) * scale + shift).to(u.dtype).to(tl.float32),)
        else:
            second = unpack(v.to(tl.float32), LANES, N) if N > 1 else (v.to(tl.float32),)
            scale2 = tl.where(mask, norms[4], 0.0)
            shift2 = tl.where(mask, norms[5], 0.0)
            for i in tl.static_range(N):
                a = ((first[i] - norms[0]) * scale + shift).to(u.dtype).to(tl.float32)
                b = ((second[i] - norms[3]) * scale2 + shift2).to(u.dtype).to(tl.float32)
                values = values + ((a + b).to(u.dtype).to(tl.float32),)
        return values


@triton.jit
def load_chunk(
    u, v, j, here, col, W, stride, norms, N: tl.constexpr, LANES: tl.constexpr, COLS: tl.constexpr, VEC: tl.constexpr,
    FULL: tl.constexpr, LAST: tl.constexpr, NORMED: tl.constexpr, TWO: tl.constexpr,
):
    """Load x for the N columns that start at ``j``."""
    mask = is_inside(here, col, W, j, COLS, VEC, FULL, LAST)
    first = load_floats(u + j * stride, mask, LANES, N)
    second = load_floats(v + j * stride, mask, LANES, N) if TWO else first
    return normed(first, second, mask, norms, LANES, N, NORMED, TWO)


@triton.jit
def load_row(
    u, v, here, col, W, stride, norms, HALO: tl.constexpr, LANES: tl.constexpr, COLS: tl.constexpr, VEC: tl.constexpr,
    FULL: tl.constexpr, LAST: tl.constexpr, NORMED: tl.constexpr, TWO: tl.constexpr,
):
    """Load a row of pixels of each lane with ``HALO`` more on both sides, in float32. They are zero outside of the map.

    Args:
        u, v: Pointers to the lane's first pixel in the row.
        here: Whether the row is in the map.
        norms: Mean, factor and shift of both norms.
    """
    # A pair of columns is one load if rows have an even length, because the first column of a lane is then even.
    SIDE: tl.constexpr = 2 if HALO % 2 == 0 and VEC > 1 and not LAST else 1
    STEP: tl.constexpr = 1 if LAST else VEC
    row = ()
    for i in tl.static_range(HALO // SIDE):
        row = row + load_chunk(
            u, v, i * SIDE - HALO, here, col, W, stride, norms, SIDE, LANES, COLS, VEC, FULL, LAST, NORMED, TWO
        )
    for i in tl.static_range(COLS // STEP):
        row = row + load_chunk(
            u, v, i * STEP, here, col, W, stride, norms, STEP, LANES, COLS, VEC, FULL, LAST, NORMED, TWO
        )
    for i in tl.static_range(HALO // SIDE):
        row = row + load_chunk(
            u, v, i * SIDE + COLS, here, col, W, stride, norms, SIDE, LANES, COLS, VEC, FULL, LAST, NORMED, TWO
        )
    return row


@triton.jit
def store_row(
    pointer, values, factor, here, col, W, stride, LANES: tl.constexpr, COLS: tl.constexpr, VEC: tl.constexpr,
    FULL: tl.constexpr, LAST: tl.constexpr,
):
    """Store a row of pixels of each lane, multiplied by ``factor``."""
    STEP: tl.constexpr = 1 if LAST else VEC
    scaled = ()
    for j in tl.static_range(COLS):
        scaled = scaled + (values[j] * factor,)
    for i in tl.static_range(COLS // STEP):
        mask = is_inside(here, col, W, i * STEP, COLS, VEC, FULL, LAST)
        if STEP == 1:
            target = pointer + i * stride
            tl.store(target, scaled[i].to(pointer.dtype.element_ty), mask=mask)
        else:
            wide = pack(scaled, LANES, STEP, i * STEP, 1).to(pointer.dtype.element_ty)
            target = pointer[:, None] + i * STEP + tl.arange(0, STEP)[None, :]
            tl.store(target, wide, mask=mask[:, None])


# --- norms and windows -------------------------------------------------------------------------------------------------


@triton.jit
def load_norm(mean, variance, scale, shift, channel, eps):
    """Load mean, factor, shift and reciprocal standard deviation of a norm."""
    reciprocal = 1.0 / tl.sqrt_rn(tl.load(variance + channel).to(tl.float32) + eps)
    factor = reciprocal * tl.load(scale + channel).to(tl.float32)
    return (
        tl.load(mean + channel).to(tl.float32),
        factor,
        tl.load(shift + channel).to(tl.float32),
        reciprocal,
    )


@triton.jit
def load_norms(
    m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2, channel, NORMED: tl.constexpr, TWO: tl.constexpr
):
    """Load mean, factor and shift of the norms of both branches."""
    if not NORMED:
        return (0.0, 1.0, 0.0, 0.0, 1.0, 0.0)
    else:
        c1, f1, s1, _ = load_norm(m1, v1, g1, b1, channel, eps1)
        if not TWO:
            return (c1, f1, s1, 0.0, 1.0, 0.0)
        else:
            c2, f2, s2, _ = load_norm(m2, v2, g2, b2, channel, eps2)
            return (c1, f1, s1, c2, f2, s2)


@triton.jit
def load_conditions(
    ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb, channel, LIGHT: tl.constexpr
):
    """Load the norm of each window: mean of its sums, factor, shift and reciprocal standard deviation."""
    centre, factor, shift, reciprocal = load_norm(ma, va, ga, ba, channel, epsa)
    first = (centre - tl.load(ca + channel).to(tl.float32), factor, shift, reciprocal)
    if not LIGHT:
        return (first,)
    else:
        centre, factor, shift, reciprocal = load_norm(mb, vb, gb, bb, channel, epsb)
        return (first, (centre - tl.load(cb + channel).to(tl.float32), factor, shift, reciprocal))


@triton.jit
def load_taps(wa, wb, channel, K: tl.constexpr, LIGHT: tl.constexpr):
    """Load the weights of one window, or those of the row followed by those of the column."""
    COUNT: tl.constexpr = K if LIGHT else K * K
    taps = ()
    for t in tl.static_range(COUNT):
        taps = taps + (tl.load(wa + channel * COUNT + t).to(tl.float32),)
    if LIGHT:
        for t in tl.static_range(K):
            taps = taps + (tl.load(wb + channel * K + t).to(tl.float32),)
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
def window_sums(
    rows, taps, starts, ROW: tl.constexpr, COLUMN: tl.constexpr, K: tl.constexpr, LIGHT: tl.constexpr
):
    """Return the sum of each window for the pixel in the centre of the K x K pixels that start at ``ROW`` and ``COLUMN``."""
    if LIGHT:
        across = slide(rows, taps, starts[0], 0, ROW + K // 2, COLUMN, 1, K)
        return (across, slide(rows, taps, starts[1], K, ROW, COLUMN + K // 2, K, 1))
    else:
        return (slide(rows, taps, starts[0], 0, ROW, COLUMN, K, K),)


@triton.jit
def larger(a, b):
    """Return the maximum. NaN propagates, as in ``torch.maximum``."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def condition_of(values, LIGHT: tl.constexpr):
    """Combine the values of the windows into one condition."""
    if LIGHT == 0:
        return values[0]
    elif LIGHT == 1:
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
def shares_of(gradient, sums, conditions, x, LIGHT: tl.constexpr):
    """Return the part of the gradient of ``max(x, T)`` that ``T`` gets, and the part that the value of each window gets."""
    first = sums[0] * conditions[0][1] + conditions[0][2]
    if LIGHT == 0:
        part = share(gradient, first, x)
        return part, (part,)
    else:
        second = sums[1] * conditions[1][1] + conditions[1][2]
        part = share(gradient, condition_of((first, second), LIGHT), x)
        if LIGHT == 1:
            return part, (part, part)
        else:
            own = share(part, first, second)
            return part, (own, part - own)


# --- forward -----------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=NUMBERS)
def moments_kernel(
    u, v, partials, wa, wb, m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2,
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks,
    K: tl.constexpr, LIGHT: tl.constexpr, NORMED: tl.constexpr, TWO: tl.constexpr, LANES: tl.constexpr, S: tl.constexpr,
    COLS: tl.constexpr, VEC: tl.constexpr, FULL: tl.constexpr, LAST: tl.constexpr, U: tl.constexpr,
):
    """Compute parts of the count, the sum and the squared deviations of the windows' sums.

    With ``K == 1`` and weights of one, they are the moments of ``u``.
    """
    P: tl.constexpr = K // 2
    WINDOWS: tl.constexpr = 2 if LIGHT else 1
    stride, pitch, W = strides(channels, width, VEC, LAST)
    offset, channel, row0, col, exists = locate(
        planes, channels, H, width, B, R, rows, row_blocks, col_blocks, LANES, S, COLS, VEC, LAST, False
    )
    up = u + offset
    vp = v + offset if TWO else up
    norms = load_norms(m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2, channel, NORMED, TWO)
    taps = load_taps(wa, wb, channel, K, LIGHT)
    window = ()
    for i in tl.static_range(2 * P):
        here = exists & (row0 + i >= P) & (row0 + i - P < H)
        at = (i - P) * pitch
        window = window + (load_row(up + at, vp + at, here, col, W, stride, norms, P, LANES, COLS, VEC, FULL, LAST, NORMED, TWO),)
    # Deviations are computed from an estimate of the mean: the sum of the window over a constant map with the value of the first pixel.
    first = load_row(up, vp, exists, col, W, stride, norms, 0, LANES, COLS, VEC, FULL, LAST, NORMED, TWO)[0]
    origins = ()
    totals = ()
    for k in tl.static_range(WINDOWS):
        gain = taps[k * K]
        for t in tl.static_range(1, K if LIGHT else K * K):
            gain += taps[k * K + t]
        origins = origins + (-first * gain,)
        totals = totals + (tl.zeros((LANES,), tl.float32), tl.zeros((LANES,), tl.float32))
    count = tl.zeros((LANES,), tl.float32)
    for step in range(0, rows, U):
        for i in tl.static_range(U):
            below = step + i + P
            here = exists & (row0 + below < H)
            at = below * pitch
            window = window + (load_row(up + at, vp + at, here, col, W, stride, norms, P, LANES, COLS, VEC, FULL, LAST, NORMED, TWO),)
        for i in tl.static_range(U):
            here = exists & (row0 + step + i < H)
            for j in tl.static_range(COLS):
                mask = is_inside(here, col, W, j, COLS, VEC, FULL, LAST)
                sums = window_sums(window, taps, origins, i, j, K, LIGHT)
                grown = ()
                for k in tl.static_range(WINDOWS):
                    own = tl.where(mask, sums[k], 0.0)
                    grown = grown + (totals[2 * k] + own, totals[2 * k + 1] + own * own)
                totals = grown
                count += tl.where(mask, 1.0, 0.0)
        kept = ()
        for i in tl.static_range(2 * P):
            kept = kept + (window[U + i],)
        window = kept
    for k in tl.static_range(WINDOWS):
        s = totals[2 * k]
        some = tl.maximum(count, 1.0)
        total = s - count * origins[k]
        squares = totals[2 * k + 1] - s * (s / some)
        joint = total_to_lanes(count, LANES, S, LAST)
        centre = total_to_lanes(total, LANES, S, LAST) / tl.maximum(joint, 1.0)
        away = total / some - centre
        squares = tl.where(count > 0, squares + count * away * away, 0.0)
        put_part(partials, count, 3 * k, 3 * WINDOWS, planes, channels, B, row_blocks, col_blocks, LANES, S, VEC, LAST, False)
        put_part(partials, total, 3 * k + 1, 3 * WINDOWS, planes, channels, B, row_blocks, col_blocks, LANES, S, VEC, LAST, False)
        put_part(partials, squares, 3 * k + 2, 3 * WINDOWS, planes, channels, B, row_blocks, col_blocks, LANES, S, VEC, LAST, False)


@triton.jit(do_not_specialize=NUMBERS)
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


@triton.jit(do_not_specialize=NUMBERS)
def activate_kernel(
    u, v, y, wa, wb, m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2,
    ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb,
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks,
    K: tl.constexpr, LIGHT: tl.constexpr, NORMED: tl.constexpr, TWO: tl.constexpr, LANES: tl.constexpr, S: tl.constexpr,
    COLS: tl.constexpr, VEC: tl.constexpr, FULL: tl.constexpr, LAST: tl.constexpr, U: tl.constexpr,
):
    """Compute ``y = max(x, T(x))``."""
    P: tl.constexpr = K // 2
    WINDOWS: tl.constexpr = 2 if LIGHT else 1
    stride, pitch, W = strides(channels, width, VEC, LAST)
    offset, channel, row0, col, exists = locate(
        planes, channels, H, width, B, R, rows, row_blocks, col_blocks, LANES, S, COLS, VEC, LAST, True
    )
    up = u + offset
    vp = v + offset if TWO else up
    yp = y + offset
    norms = load_norms(m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2, channel, NORMED, TWO)
    taps = load_taps(wa, wb, channel, K, LIGHT)
    conditions = load_conditions(ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb, channel, LIGHT)
    starts = ()
    for k in tl.static_range(WINDOWS):
        starts = starts + (-conditions[k][0],)
    window = ()
    for i in tl.static_range(2 * P):
        here = exists & (row0 + i >= P) & (row0 + i - P < H)
        at = (i - P) * pitch
        window = window + (load_row(up + at, vp + at, here, col, W, stride, norms, P, LANES, COLS, VEC, FULL, LAST, NORMED, TWO),)
    for step in range(0, rows, U):
        for i in tl.static_range(U):
            below = step + i + P
            here = exists & (row0 + below < H)
            at = below * pitch
            window = window + (load_row(up + at, vp + at, here, col, W, stride, norms, P, LANES, COLS, VEC, FULL, LAST, NORMED, TWO),)
        for i in tl.static_range(U):
            here = exists & (row0 + step + i < H)
            out = ()
            for j in tl.static_range(COLS):
                sums = window_sums(window, taps, starts, i, j, K, LIGHT)
                values = ()
                for k in tl.static_range(WINDOWS):
                    values = values + (sums[k] * conditions[k][1] + conditions[k][2],)
                out = out + (larger(window[i + P][j + P], condition_of(values, LIGHT)),)
            store_row(yp + (step + i) * pitch, out, 1.0, here, col, W, stride, LANES, COLS, VEC, FULL, LAST)
        kept = ()
        for i in tl.static_range(2 * P):
            kept = kept + (window[U + i],)
        window = kept


# --- backward ----------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=NUMBERS)
def sums_kernel(
    u, v, grad, partials, wa, wb, m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2,
    ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb,
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks,
    K: tl.constexpr, LIGHT: tl.constexpr, NORMED: tl.constexpr, TWO: tl.constexpr, LANES: tl.constexpr, S: tl.constexpr,
    COLS: tl.constexpr, VEC: tl.constexpr, FULL: tl.constexpr, LAST: tl.constexpr, U: tl.constexpr,
):
    """Compute parts of two sums for each window: of the gradient of its values, and of the products with the centred sums."""
    P: tl.constexpr = K // 2
    WINDOWS: tl.constexpr = 2 if LIGHT else 1
    stride, pitch, W = strides(channels, width, VEC, LAST)
    offset, channel, row0, col, exists = locate(
        planes, channels, H, width, B, R, rows, row_blocks, col_blocks, LANES, S, COLS, VEC, LAST, False
    )
    up = u + offset
    vp = v + offset if TWO else up
    gp = grad + offset
    norms = load_norms(m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2, channel, NORMED, TWO)
    taps = load_taps(wa, wb, channel, K, LIGHT)
    conditions = load_conditions(ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb, channel, LIGHT)
    starts = ()
    totals = ()
    for k in tl.static_range(WINDOWS):
        starts = starts + (-conditions[k][0],)
        totals = totals + (tl.zeros((LANES,), tl.float32), tl.zeros((LANES,), tl.float32))
    window = ()
    for i in tl.static_range(2 * P):
        here = exists & (row0 + i >= P) & (row0 + i - P < H)
        at = (i - P) * pitch
        window = window + (load_row(up + at, vp + at, here, col, W, stride, norms, P, LANES, COLS, VEC, FULL, LAST, NORMED, TWO),)
    for step in range(0, rows, U):
        grads = ()
        for i in tl.static_range(U):
            below = step + i + P
            here = exists & (row0 + below < H)
            at = below * pitch
            window = window + (load_row(up + at, vp + at, here, col, W, stride, norms, P, LANES, COLS, VEC, FULL, LAST, NORMED, TWO),)
            own = gp + (step + i) * pitch
            here = exists & (row0 + step + i < H)
            grads = grads + (load_row(own, own, here, col, W, stride, norms, 0, LANES, COLS, VEC, FULL, LAST, False, False),)
        for i in tl.static_range(U):
            for j in tl.static_range(COLS):
                sums = window_sums(window, taps, starts, i, j, K, LIGHT)
                _, shares = shares_of(grads[i][j], sums, conditions, window[i + P][j + P], LIGHT)
                grown = ()
                for k in tl.static_range(WINDOWS):
                    grown = grown + (totals[2 * k] + shares[k], totals[2 * k + 1] + shares[k] * sums[k])
                totals = grown
        kept = ()
        for i in tl.static_range(2 * P):
            kept = kept + (window[U + i],)
        window = kept
    for k in tl.static_range(2 * WINDOWS):
        put_part(partials, totals[k], k, 2 * WINDOWS, planes, channels, B, row_blocks, col_blocks, LANES, S, VEC, LAST, False)


@triton.jit
def total_of_parts(partials, channel, there, number, C, parts, COUNT: tl.constexpr, CHANNELS: tl.constexpr, PARTS: tl.constexpr):
    """Add up the parts of one number for some channels."""
    part = tl.arange(0, PARTS)[:, None]
    total = tl.zeros((PARTS, CHANNELS), tl.float32)
    for low in range(0, parts, PARTS):
        mask = there[None, :] & (low + part < parts)
        total += tl.load(partials + ((low + part) * COUNT + number) * C + channel[None, :], mask=mask, other=0.0)
    return tl.sum(total, axis=0)


@triton.jit(do_not_specialize=NUMBERS)
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


@triton.jit(do_not_specialize=NUMBERS)
def gradient_kernel(
    u, v, grad, du, dv, partials, meansa, meansb, wa, wb, m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2,
    ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb,
    planes, channels, H, width, B, R, rows, row_blocks, col_blocks,
    K: tl.constexpr, LIGHT: tl.constexpr, BATCH: tl.constexpr, NORMED: tl.constexpr, SCALED: tl.constexpr, TWO: tl.constexpr,
    LANES: tl.constexpr, S: tl.constexpr, COLS: tl.constexpr, VEC: tl.constexpr, FULL: tl.constexpr, LAST: tl.constexpr,
    U: tl.constexpr,
):
    """Compute the gradients of the branches, and parts of the gradients of the taps and of the norms.

    With ``SCALED`` the gradients of the branches, which have fixed norms, are stored in ``du`` and ``dv``; otherwise the gradient
    of x is stored in ``du``. With ``BATCH`` the windows have batch norms, and ``meansa`` and ``meansb`` are the means that these
    subtract. The numbers of the parts are, in this order: the taps; without ``BATCH``, for each window the sum of the gradient
    of its values, and of the products with the centred sums; with ``NORMED``, the sum of the gradient of x, and of the products
    with each centred branch.

    Row k of the sums contributes to the rows k - P to k + P of dx. These rows are accumulated until they are complete.
    """
    P: tl.constexpr = K // 2
    WINDOWS: tl.constexpr = 2 if LIGHT else 1
    TAPS: tl.constexpr = 2 * K if LIGHT else K * K
    VALUES: tl.constexpr = TAPS if BATCH else TAPS + 2 * WINDOWS
    COUNT: tl.constexpr = VALUES + ((3 if TWO else 2) if NORMED else 0)
    stride, pitch, W = strides(channels, width, VEC, LAST)
    offset, channel, row0, col, exists = locate(
        planes, channels, H, width, B, R, rows, row_blocks, col_blocks, LANES, S, COLS, VEC, LAST, True
    )
    up = u + offset
    vp = v + offset if TWO else up
    gp = grad + offset
    norms = load_norms(m1, v1, g1, b1, eps1, m2, v2, g2, b2, eps2, channel, NORMED, TWO)
    taps = load_taps(wa, wb, channel, K, LIGHT)
    conditions = load_conditions(ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb, channel, LIGHT)
    C = channels * VEC if LAST else channels
    zero = tl.zeros((LANES,), tl.float32)
    starts = ()
    levels = ()
    slopes = ()
    for k in tl.static_range(WINDOWS):
        starts = starts + (-conditions[k][0],)
        if BATCH:
            means = meansa if k == 0 else meansb
            factor = conditions[k][1]
            levels = levels + (-factor * tl.load(means + channel),)
            slopes = slopes + (-factor * conditions[k][3] * conditions[k][3] * tl.load(means + C + channel),)
    totals = (zero,) * COUNT
    growing = ((zero,) * COLS,) * (2 * P)  # dx of the rows that are not complete
    window = ()
    for i in tl.static_range(2 * P):
        here = exists & (row0 + i >= 2 * P) & (row0 + i - 2 * P < H)
        at = (i - 2 * P) * pitch
        window = window + (load_row(up + at, vp + at, here, col, W, stride, norms, 2 * P, LANES, COLS, VEC, FULL, LAST, NORMED, TWO),)
    for step in range(-P, rows + P, U):
        grads = ()
        for i in tl.static_range(U):
            below = step + i + P
            here = exists & (row0 + below >= 0) & (row0 + below < H)
            at = below * pitch
            window = window + (load_row(up + at, vp + at, here, col, W, stride, norms, 2 * P, LANES, COLS, VEC, FULL, LAST, NORMED, TWO),)
            here = exists & (row0 + step + i >= 0) & (row0 + step + i < H)
            own = gp + (step + i) * pitch
            grads = grads + (load_row(own, own, here, col, W, stride, norms, P, LANES, COLS, VEC, FULL, LAST, False, False),)
        for i in tl.static_range(U):
            k_row = row0 + step + i
            valid = exists & (k_row >= 0) & (k_row < H)
            # Rows of adjacent strips contribute to dx of this strip, but not to its sums.
            counts = (step + i >= 0) & (step + i < rows)
            centre_row = window[i + P]
            dz = ()
            arriving = ()
            plain = (zero,) * WINDOWS
            weighted = (zero,) * WINDOWS
            for j in tl.static_range(COLS + 2 * P):
                sums = window_sums(window, taps, starts, i, j, K, LIGHT)
                part, shares = shares_of(grads[i][j], sums, conditions, centre_row[j + P], LIGHT)
                inside = is_inside(valid, col, W, j - P, COLS, VEC, FULL, LAST)
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
                    if not LIGHT:
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
                    if not LIGHT:
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
            rest = ()
            for a in tl.static_range(2 * P):
                rest = rest + (next_rows[a + 1],)
            growing = rest
            # Row k - P is complete.
            mine = exists & (step + i >= P) & (k_row - P < H)
            back = (step + i - P) * pitch
            if NORMED:
                first = load_row(up + back, up, mine, col, W, stride, norms, 0, LANES, COLS, VEC, FULL, LAST, False, False)
                total = zero
                product = zero
                product2 = zero
                if TWO:
                    second = load_row(vp + back, vp, mine, col, W, stride, norms, 0, LANES, COLS, VEC, FULL, LAST, False, False)
                for j in tl.static_range(COLS):
                    value = tl.where(is_inside(mine, col, W, j, COLS, VEC, FULL, LAST), done[j], 0.0)
                    total += value
                    product += value * (first[j] - norms[0])
                    if TWO:
                        product2 += value * (second[j] - norms[3])
                grown = grown + (totals[VALUES] + total, totals[VALUES + 1] + product)
                if TWO:
                    grown = grown + (totals[VALUES + 2] + product2,)
            totals = grown
            if SCALED:
                store_row(du + offset + back, done, norms[1], mine, col, W, stride, LANES, COLS, VEC, FULL, LAST)
                if TWO:
                    store_row(dv + offset + back, done, norms[4], mine, col, W, stride, LANES, COLS, VEC, FULL, LAST)
            else:
                store_row(du + offset + back, done, 1.0, mine, col, W, stride, LANES, COLS, VEC, FULL, LAST)
        kept = ()
        for i in tl.static_range(2 * P):
            kept = kept + (window[U + i],)
        window = kept
    for t in tl.static_range(COUNT):
        put_part(partials, totals[t], t, COUNT, planes, channels, B, row_blocks, col_blocks, LANES, S, VEC, LAST, True)


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


@triton.jit(do_not_specialize=NUMBERS)
def finish_gradient_kernel(
    partials, dwa, dwb, dga, dba, dca, dgb, dbb, dcb, va, ga, epsa, vb, gb, epsb,
    dg1, db1, v1, eps1, dg2, db2, v2, eps2, means, count, C, parts,
    K: tl.constexpr, LIGHT: tl.constexpr, BATCH: tl.constexpr, NORMED: tl.constexpr, TWO: tl.constexpr,
    CHANNELS: tl.constexpr, PARTS: tl.constexpr,
):
    """Add up the parts of :func:`gradient_kernel`. Each program has some channels of one number.

    If ``means`` (3, C) is given, the means that the batch norms of the branches subtract are stored in it.
    """
    WINDOWS: tl.constexpr = 2 if LIGHT else 1
    TAPS: tl.constexpr = 2 * K if LIGHT else K * K
    VALUES: tl.constexpr = TAPS if BATCH else TAPS + 2 * WINDOWS
    COUNT: tl.constexpr = VALUES + ((3 if TWO else 2) if NORMED else 0)
    OWN: tl.constexpr = K if LIGHT else K * K
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
            if LIGHT:
                tl.store(dwb + channel * K + number - K, total.to(dwb.dtype.element_ty), mask=there)
    elif number < VALUES:
        if number < TAPS + 2:
            finish_window(
                partials, number, TAPS, dga, dba, dca, va, ga, epsa, channel, there, C, parts, COUNT, CHANNELS, PARTS
            )
        else:
            if LIGHT:
                finish_window(
                    partials, number, TAPS + 2, dgb, dbb, dcb, vb, gb, epsb, channel, there, C, parts, COUNT, CHANNELS, PARTS
                )
    else:
        if NORMED:
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


@triton.jit(do_not_specialize=NUMBERS)
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
