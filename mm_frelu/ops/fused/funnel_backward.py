r"""Backward kernels of the funnel activation ``y = max(x, T(x))``, FReLU and LightFReLU.

With z a window's sum, m and s its mean and reciprocal standard deviation over M values, T = (z - m) s gamma + beta, and e the
part of the gradient of y that T gets, backward needs

.. math::
    dz = \gamma s \left( e - \frac{\sum e}{M} - (z - m) \frac{s^2 \sum e (z - m)}{M} \right)

so with batch statistics the two sums come first. All of it is computed from x again. In passes over a tensor of the size of x:

- :func:`sums_kernel`, with batch statistics only, reads x and g: 2.
- :func:`gradient_kernel` reads x and g, writes dx: 3. It needs dz on a halo, and so x on a halo twice as wide. For a window of
  3 that is cheap, dz for 36 pixels to give 16 outputs; for 5 and 7 it would be four to ten times the arithmetic.
- So for 5 and 7 dz is written to memory, and :func:`spread_kernel` reads it back: 7 in place of 3, and with two windows 9.
"""

import triton
import triton.language as tl

from .condition import (
    combine,
    correlate,
    load_norm,
    load_shift,
    load_taps,
    share_of_maximum,
    window_sums,
)
from .patch import SIZES, in_map, lane_sum, load_patch, locate, store_partial, store_patch


@triton.jit
def _condition_gradients(
    patch, gradient, taps, norms,
    MAXIMUM: tl.constexpr, K: tl.constexpr, LIGHT: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Share out the gradient of y.

    Args:
        patch: x with a halo of the window's radius around the ``ROWS`` x ``COLUMNS`` pixels of ``gradient``.
        norms: Centre, factor and shift of each window.

    Returns:
        Three tuples with a tensor for each pixel: what x gets directly; and for each window, one after the other, its
        centred sums and what its condition gets.
    """
    RADIUS: tl.constexpr = K // 2
    z = window_sums(patch, taps, ROWS, COLUMNS, K, LIGHT)
    PIXELS: tl.constexpr = ROWS * COLUMNS
    direct = ()
    centred = ()
    shares = ()
    centred2 = ()
    shares2 = ()
    for i in tl.static_range(ROWS):
        for j in tl.static_range(COLUMNS):
            g = gradient[i * COLUMNS + j]
            value = patch[(i + RADIUS) * (COLUMNS + 2 * RADIUS) + j + RADIUS]
            away = z[i * COLUMNS + j] - norms[0]
            own = away * norms[1] + norms[2]
            condition = own
            if LIGHT:
                away2 = z[PIXELS + i * COLUMNS + j] - norms[3]
                other = away2 * norms[4] + norms[5]
                condition = combine(own, other, MAXIMUM)
            direct = direct + (share_of_maximum(g, value, condition),)
            share = share_of_maximum(g, condition, value)
            centred = centred + (away,)
            if LIGHT:
                centred2 = centred2 + (away2,)
                if MAXIMUM:
                    shares2 = shares2 + (share_of_maximum(share, other, own),)
                    share = share_of_maximum(share, own, other)
                else:
                    shares2 = shares2 + (share,)
            shares = shares + (share,)
    return direct, centred + centred2, shares + shares2


@triton.jit(do_not_specialize=SIZES)
def sums_kernel(
    x, grad, partials, weights, means, variances, scales, shifts, eps,
    N, C, H, width, row_chunks, chunk_rows, parts,
    MAXIMUM: tl.constexpr, K: tl.constexpr, LIGHT: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """The two sums of backward with batch statistics.

    ``partials`` has the shape (C, 2 * windows, parts): for each window the sum of e, then that of e times the centred sum.
    """
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
            means[index], variances[index], scales[index], None, channel, eps
        )
        norms = norms + (centre, factor, load_shift(shifts[index], channel))
    sums = (tl.zeros((A * B,), tl.float32),) * (2 * WINDOWS)
    for row in range(first, tl.minimum(first + chunk_rows, H), ROWS):
        patch = load_patch(
            x + offset, row, column, exists, C, H, W, RADIUS, RADIUS, RADIUS, RADIUS,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
        gradient = load_patch(
            grad + offset, row, column, exists, C, H, W, 0, 0, 0, 0,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
        direct, centred, shares = _condition_gradients(
            patch, gradient, taps, norms, MAXIMUM, K, LIGHT, ROWS, COLUMNS
        )
        new_sums = ()
        for index in tl.static_range(WINDOWS):
            plain = sums[2 * index]
            weighted = sums[2 * index + 1]
            for pixel in tl.static_range(ROWS * COLUMNS):
                # The gradient is zero outside of the map, and so are the shares.
                share = shares[index * ROWS * COLUMNS + pixel]
                plain += share
                weighted += share * centred[index * ROWS * COLUMNS + pixel]
            new_sums = new_sums + (plain, weighted)
        sums = new_sums
    for index in tl.static_range(2 * WINDOWS):
        value = lane_sum(tl.where(exists, sums[index], 0.0), A, B, CHANNELS_LAST)
        store_partial(
            partials, value, index, 2 * WINDOWS, N, C, W, row_chunks, parts,
            A, B, COLUMNS, CHANNELS_LAST,
        )  # fmt: skip


@triton.jit
def _add_weight_gradient(
    totals, dz, patch,
    FIRST: tl.constexpr, DZ_FIRST: tl.constexpr, DZ_STRIDE: tl.constexpr, STRIDE: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    OFFSET: tl.constexpr,
):  # fmt: skip
    """Add the products of dz and x, tap by tap, to the totals from ``OFFSET`` on; returns those of this window."""
    result = ()
    for tap in tl.static_range(KH * KW):
        total = totals[OFFSET + tap]
        for i in tl.static_range(ROWS):
            for j in tl.static_range(COLUMNS):
                value = patch[FIRST + (i + tap // KW) * STRIDE + j + tap % KW]
                total += dz[DZ_FIRST + i * DZ_STRIDE + j] * value
        result = result + (total,)
    return result


@triton.jit(do_not_specialize=SIZES)
def gradient_kernel(
    x, grad, dx, dz_pointers, partials, weights, means, variances, scales, shifts, biases,
    averages, eps, N, C, H, width, row_chunks, chunk_rows, parts,
    MAXIMUM: tl.constexpr, K: tl.constexpr, LIGHT: tl.constexpr,
    IN_ONE: tl.constexpr, A: tl.constexpr, B: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, WHOLE: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Gradients of x and of the windows.

    Args:
        dx: Gets the gradient of x; without ``IN_ONE`` only what it gets directly.
        dz_pointers: Without ``IN_ONE``: get the gradients of the windows' sums.
        partials: Of shape (C, taps of all windows + 2 * windows, parts): gradients of the weights; then for each
            window the sum of e and of e times the centred sum (zero with batch statistics: they have come first).
        averages: With batch statistics: means of e and of e times the centred sum, of shape (C, 2 * windows).
        IN_ONE: Whether dz is computed on a halo, so that it need not be written.
    """
    RADIUS: tl.constexpr = K // 2
    HALO: tl.constexpr = RADIUS if IN_ONE else 0
    REACH: tl.constexpr = RADIUS + HALO
    WINDOWS: tl.constexpr = 2 if LIGHT else 1
    TAPS: tl.constexpr = 2 * K if LIGHT else K * K
    NUMBERS: tl.constexpr = TAPS + 2 * WINDOWS
    DZ_ROWS: tl.constexpr = ROWS + 2 * HALO
    DZ_COLUMNS: tl.constexpr = COLUMNS + 2 * HALO
    STRIDE: tl.constexpr = COLUMNS + 2 * REACH
    PIXELS: tl.constexpr = DZ_ROWS * DZ_COLUMNS
    # Where the lanes' own pixels begin, without the halo, in dz and in x.
    OWN: tl.constexpr = HALO * DZ_COLUMNS + HALO
    PATCH: tl.constexpr = HALO * STRIDE + HALO
    W = width * COLUMNS if WHOLE else width
    offset, column, channel, exists, chunk = locate(
        N, C, H, W, row_chunks, A, B, COLUMNS, CHANNELS_LAST
    )
    first = chunk * chunk_rows
    taps = load_taps(weights, channel, K, LIGHT)
    norms = ()
    slopes = ()
    for index in tl.static_range(WINDOWS):
        centre, factor, reciprocal = load_norm(
            means[index], variances[index], scales[index], biases[index], channel, eps
        )
        norms = norms + (centre, factor, load_shift(shifts[index], channel))
        if averages is not None:
            plain = tl.load(averages + channel * 2 * WINDOWS + 2 * index)
            weighted = tl.load(averages + channel * 2 * WINDOWS + 2 * index + 1)
            slopes = slopes + (-factor * plain, -factor * reciprocal * reciprocal * weighted)
    totals = (tl.zeros((A * B,), tl.float32),) * NUMBERS
    for row in range(first, tl.minimum(first + chunk_rows, H), ROWS):
        patch = load_patch(
            x + offset, row, column, exists, C, H, W, REACH, REACH, REACH, REACH,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
        gradient = load_patch(
            grad + offset, row, column, exists, C, H, W, HALO, HALO, HALO, HALO,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
        direct, centred, shares = _condition_gradients(
            patch, gradient, taps, norms, MAXIMUM, K, LIGHT, DZ_ROWS, DZ_COLUMNS
        )
        dz = ()
        for index in tl.static_range(WINDOWS):
            for i in tl.static_range(DZ_ROWS):
                for j in tl.static_range(DZ_COLUMNS):
                    value = norms[3 * index + 1] * shares[index * PIXELS + i * DZ_COLUMNS + j]
                    if averages is not None:
                        away = centred[index * PIXELS + i * DZ_COLUMNS + j]
                        value += slopes[2 * index + 1] * away + slopes[2 * index]
                        inside = in_map(row, column, exists, H, W, i - HALO, j - HALO)
                        value = tl.where(inside, value, 0.0)
                    dz = dz + (value,)
        if LIGHT:
            grown = _add_weight_gradient(
                totals, dz, patch, PATCH + RADIUS * STRIDE, OWN, DZ_COLUMNS, STRIDE,
                ROWS, COLUMNS, 1, K, 0,
            )  # fmt: skip
            grown = grown + _add_weight_gradient(
                totals, dz, patch, PATCH + RADIUS, PIXELS + OWN, DZ_COLUMNS, STRIDE,
                ROWS, COLUMNS, K, 1, K,
            )  # fmt: skip
        else:
            grown = _add_weight_gradient(
                totals, dz, patch, PATCH, OWN, DZ_COLUMNS, STRIDE, ROWS, COLUMNS, K, K, 0
            )
        for index in tl.static_range(WINDOWS):
            plain = totals[TAPS + 2 * index]
            weighted = totals[TAPS + 2 * index + 1]
            if averages is None:
                for i in tl.static_range(ROWS):
                    for j in tl.static_range(COLUMNS):
                        share = shares[index * PIXELS + OWN + i * DZ_COLUMNS + j]
                        plain += share
                        weighted += share * centred[index * PIXELS + OWN + i * DZ_COLUMNS + j]
            grown = grown + (plain, weighted)
        totals = grown
        result = ()
        for i in tl.static_range(ROWS):
            for j in tl.static_range(COLUMNS):
                result = result + (direct[OWN + i * DZ_COLUMNS + j],)
        if IN_ONE:
            if LIGHT:
                through = correlate(
                    dz, taps, HALO * DZ_COLUMNS, DZ_COLUMNS, ROWS, COLUMNS, K - 1, -1, 1, K
                )
                second = correlate(
                    dz, taps, PIXELS + HALO, DZ_COLUMNS, ROWS, COLUMNS, 2 * K - 1, -1, K, 1
                )
            else:
                through = correlate(dz, taps, 0, DZ_COLUMNS, ROWS, COLUMNS, K * K - 1, -1, K, K)
                second = through
            whole = ()
            for pixel in tl.static_range(ROWS * COLUMNS):
                value = result[pixel] + through[pixel]
                if LIGHT:
                    value += second[pixel]
                whole = whole + (value,)
            result = whole
        else:
            for index in tl.static_range(WINDOWS):
                own_dz = ()
                for pixel in tl.static_range(PIXELS):
                    own_dz = own_dz + (dz[index * PIXELS + pixel],)
                store_patch(
                    dz_pointers[index] + offset, own_dz, row, column, exists, C, H, W,
                    A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
                )  # fmt: skip
        store_patch(
            dx + offset, result, row, column, exists, C, H, W,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
    for index in tl.static_range(NUMBERS):
        value = lane_sum(tl.where(exists, totals[index], 0.0), A, B, CHANNELS_LAST)
        store_partial(
            partials, value, index, NUMBERS, N, C, W, row_chunks, parts,
            A, B, COLUMNS, CHANNELS_LAST,
        )  # fmt: skip


@triton.jit(do_not_specialize=SIZES)
def spread_kernel(
    dx, dz_pointers, weights, N, C, H, width, row_chunks, chunk_rows,
    K: tl.constexpr, LIGHT: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Add to dx what the windows' gradients dz give it, for windows of 5 and more."""
    RADIUS: tl.constexpr = K // 2
    W = width * COLUMNS if WHOLE else width
    offset, column, channel, exists, chunk = locate(
        N, C, H, W, row_chunks, A, B, COLUMNS, CHANNELS_LAST
    )
    first = chunk * chunk_rows
    taps = load_taps(weights, channel, K, LIGHT)
    for row in range(first, tl.minimum(first + chunk_rows, H), ROWS):
        result = load_patch(
            dx + offset, row, column, exists, C, H, W, 0, 0, 0, 0,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
        if LIGHT:
            dz = load_patch(
                dz_pointers[0] + offset, row, column, exists, C, H, W, 0, RADIUS, 0, RADIUS,
                A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
            )  # fmt: skip
            through = correlate(dz, taps, 0, COLUMNS + 2 * RADIUS, ROWS, COLUMNS, K - 1, -1, 1, K)
            dz2 = load_patch(
                dz_pointers[1] + offset, row, column, exists, C, H, W, RADIUS, 0, RADIUS, 0,
                A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
            )  # fmt: skip
            second = correlate(dz2, taps, 0, COLUMNS, ROWS, COLUMNS, 2 * K - 1, -1, K, 1)
        else:
            dz = load_patch(
                dz_pointers[0] + offset, row, column, exists, C, H, W,
                RADIUS, RADIUS, RADIUS, RADIUS, A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
            )  # fmt: skip
            through = correlate(
                dz, taps, 0, COLUMNS + 2 * RADIUS, ROWS, COLUMNS, K * K - 1, -1, K, K
            )
            second = through
        whole = ()
        for pixel in tl.static_range(ROWS * COLUMNS):
            value = result[pixel] + through[pixel]
            if LIGHT:
                value += second[pixel]
            whole = whole + (value,)
        store_patch(
            dx + offset, whole, row, column, exists, C, H, W,
            A, B, ROWS, COLUMNS, WHOLE, CHANNELS_LAST,
        )  # fmt: skip
