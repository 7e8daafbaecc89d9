r"""Forward kernels of the funnel activation ``y = max(x, T(x))``, FReLU and LightFReLU.

Traffic, in passes over a tensor of the size of x (halos come from the caches):

========================  ==============================================  ======
norm of the windows       kernels                                         passes
========================  ==============================================  ======
batch statistics          :func:`moments_kernel` reads x                  1
                          :func:`activate_kernel` reads x, writes y       2
fixed statistics or none  :func:`activate_kernel`                         2
========================  ==============================================  ======

Backward (:mod:`.funnel_backward`) needs x and two numbers per channel.

Statistics are exact to rounding whatever the mean: each lane sums deviations from its own first value, and lanes, programs
and processes are merged as (count, mean, sum of squared deviations). Nothing is added atomically.
"""

import triton
import triton.language as tl

from .condition import combine, load_norm, load_shift, load_taps, window_sums
from .patch import (
    SIZES,
    in_map,
    lane_sum,
    load_patch,
    locate,
    store_partial,
    store_patch,
    to_lanes,
)


@triton.jit(do_not_specialize=SIZES)
def moments_kernel(
    x, weights, partials, N, C, H, width, row_chunks, chunk_rows, parts,
    K: tl.constexpr, LIGHT: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Count, mean and sum of squared deviations of the windows' sums.

    ``partials`` has the shape (C, 3 * windows, parts).
    """
    RADIUS: tl.constexpr = K // 2
    WINDOWS: tl.constexpr = 2 if LIGHT else 1
    W = width * COLUMNS if WHOLE else width
    offset, column, channel, exists, chunk = locate(
        N, C, H, W, row_chunks, A, B, COLUMNS, CHANNELS_LAST
    )
    first = chunk * chunk_rows
    taps = load_taps(weights, channel, K, LIGHT)
    zero = tl.zeros((A * B,), tl.float32)
    count = zero
    origins = (zero,) * WINDOWS
    sums = (zero,) * WINDOWS
    squares = (zero,) * WINDOWS
    for row in range(first, tl.minimum(first + chunk_rows, H), ROWS):
        patch = load_patch(
            x + offset, row, column, exists, C, H, W, RADIUS, RADIUS, RADIUS, RADIUS,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
        for i in tl.static_range(ROWS):
            for j in tl.static_range(COLUMNS):
                count += in_map(row, column, exists, H, W, i, j).to(tl.float32)
        z = window_sums(patch, taps, ROWS, COLUMNS, K, LIGHT)
        new_origins = ()
        new_sums = ()
        new_squares = ()
        for index in tl.static_range(WINDOWS):
            origin = tl.where(row == first, z[index * ROWS * COLUMNS], origins[index])
            total = sums[index]
            square = squares[index]
            for i in tl.static_range(ROWS):
                for j in tl.static_range(COLUMNS):
                    inside = in_map(row, column, exists, H, W, i, j)
                    deviation = tl.where(inside, z[(index * ROWS + i) * COLUMNS + j] - origin, 0.0)
                    total += deviation
                    square += deviation * deviation
            new_origins = new_origins + (origin,)
            new_sums = new_sums + (total,)
            new_squares = new_squares + (square,)
        origins = new_origins
        sums = new_sums
        squares = new_squares
    counts = lane_sum(count, A, B, CHANNELS_LAST)
    # Lanes that lie outside have seen nothing: their mean does not count, but has to be a number.
    some = tl.maximum(count, 1.0)
    for index in tl.static_range(WINDOWS):
        mean = origins[index] + sums[index] / some
        square = squares[index] - sums[index] * (sums[index] / some)
        means = lane_sum(tl.where(exists, count * mean, 0.0), A, B, CHANNELS_LAST)
        means = means / tl.maximum(counts, 1.0)
        away = mean - to_lanes(means, A, B, CHANNELS_LAST)
        square = tl.where(exists, square + count * away * away, 0.0)
        deviations = lane_sum(square, A, B, CHANNELS_LAST)
        for quantity in tl.static_range(3):
            value = counts if quantity == 0 else means if quantity == 1 else deviations
            store_partial(
                partials, value, index * 3 + quantity, 3 * WINDOWS, N, C, W, row_chunks, parts,
                A, B, COLUMNS, CHANNELS_LAST,
            )  # fmt: skip


@triton.jit(do_not_specialize=SIZES)
def merge_moments_kernel(
    partials, moments, C, parts, WINDOWS: tl.constexpr, CHANNELS: tl.constexpr, PARTS: tl.constexpr
):
    """Merge partial moments of shape (C, 3 * windows, parts) to (windows, 3, C)."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    index = tl.program_id(1)
    there = (channel < C)[:, None]
    start = partials + ((channel * WINDOWS + index) * 3).to(tl.int64)[:, None] * parts
    count = tl.zeros((CHANNELS, PARTS), tl.float32)
    total = tl.zeros((CHANNELS, PARTS), tl.float32)
    for first in range(0, parts, PARTS):
        part = first + tl.arange(0, PARTS)[None, :]
        n = tl.load(start + part, mask=there & (part < parts), other=0.0)
        mean = tl.load(start + parts + part, mask=there & (part < parts), other=0.0)
        count += n
        total += n * mean
    counts = tl.sum(count, axis=1)
    means = tl.sum(total, axis=1) / tl.maximum(counts, 1.0)
    square = tl.zeros((CHANNELS, PARTS), tl.float32)
    for first in range(0, parts, PARTS):
        part = first + tl.arange(0, PARTS)[None, :]
        n = tl.load(start + part, mask=there & (part < parts), other=0.0)
        mean = tl.load(start + parts + part, mask=there & (part < parts), other=0.0)
        own = tl.load(start + 2 * parts + part, mask=there & (part < parts), other=0.0)
        away = mean - means[:, None]
        square += own + n * away * away
    target = moments + index * 3 * C + channel
    tl.store(target, counts, mask=channel < C)
    tl.store(target + C, means, mask=channel < C)
    tl.store(target + 2 * C, tl.sum(square, axis=1), mask=channel < C)


@triton.jit(do_not_specialize=SIZES)
def activate_kernel(
    x, y, weights, means, variances, scales, shifts, biases, eps,
    N, C, H, width, row_chunks, chunk_rows,
    MAXIMUM: tl.constexpr, K: tl.constexpr, LIGHT: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Compute y from x and the statistics."""
    RADIUS: tl.constexpr = K // 2
    WINDOWS: tl.constexpr = 2 if LIGHT else 1
    W = width * COLUMNS if WHOLE else width
    offset, column, channel, exists, chunk = locate(
        N, C, H, W, row_chunks, A, B, COLUMNS, CHANNELS_LAST
    )
    first = chunk * chunk_rows
    taps = load_taps(weights, channel, K, LIGHT)
    norms = ()
    for index in tl.static_range(WINDOWS):
        centre, factor, reciprocal = load_norm(
            means[index], variances[index], scales[index], biases[index], channel, eps
        )
        norms = norms + (centre, factor, load_shift(shifts[index], channel))
    for row in range(first, tl.minimum(first + chunk_rows, H), ROWS):
        patch = load_patch(
            x + offset, row, column, exists, C, H, W, RADIUS, RADIUS, RADIUS, RADIUS,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
        z = window_sums(patch, taps, ROWS, COLUMNS, K, LIGHT)
        y_values = ()
        for i in tl.static_range(ROWS):
            for j in tl.static_range(COLUMNS):
                condition = (z[i * COLUMNS + j] - norms[0]) * norms[1] + norms[2]
                if LIGHT:
                    other = (z[(ROWS + i) * COLUMNS + j] - norms[3]) * norms[4] + norms[5]
                    condition = combine(condition, other, MAXIMUM)
                centre_pixel = patch[(i + RADIUS) * (COLUMNS + 2 * RADIUS) + j + RADIUS]
                value = tl.maximum(centre_pixel, condition, propagate_nan=tl.PropagateNan.ALL)
                y_values = y_values + (value,)
        store_patch(
            y + offset, y_values, row, column, exists, C, H, W,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
