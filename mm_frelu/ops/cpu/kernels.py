r"""Numba kernels of the funnel activation on a CPU. They compute one channel at a time, so that its planes stay in the cache.

A plane is one channel of one image. The channels are independent, so a thread computes all steps of one channel before it
continues with the next one, and each feature is read from memory once. A plane is copied into a flat buffer with a halo, a border
of zeros. A window is then one long loop, whatever the width of a row. Values that are computed beyond the end of a row are never
read. The starts of two rows, including the halo, are one ``pitch`` apart.

The norm of a window turns its sums ``t`` into values ``(t - centre) * scale + shift``. Sums over a plane are accumulated in
pieces in the type of the features, and the pieces are added in double precision. One thread sums a whole channel, so the results
do not depend on the number of threads.

All functions are in this file, because Numba's cache detects changes in the file of a kernel, but not in the files of the
functions that it calls.
"""

import numpy as np
from numba import njit, prange

# REORDER lets the compiler reorder sums, which vector instructions require, and fuse multiplications with additions. NaN and
# infinity keep their meaning.
REORDER = {'reassoc', 'contract', 'nsz'}
FUSE = {'contract'}
INNER = {'no_cpython_wrapper': True, 'no_cfunc_wrapper': True, 'error_model': 'numpy'}
"""Options of functions that Python does not call. Without wrappers they compile faster. A division by zero gives infinity, as in
torch. It occurs for a constant channel if the epsilon of its norm is zero."""

PIECE = 4096
"""Number of products that are summed in the type of the features."""

NO_NORM, FIXED_NORM, BATCH_NORM = 0, 1, 2
BIAS, GAMMA, BETA, MEAN, VAR = range(5)
"""Rows for each norm in the table of values per channel. It has four norms: those of two windows, then those of two branches."""
ROWS = 5
BRANCH = 2
"""Index of the norm of the first branch."""
GRADIENTS, MOMENTS = 3, 2
"""Rows for each norm in the table of gradients (bias, scale, shift) and in the table of moments (mean, biased variance)."""


# The functions below shift views instead of indices. Numba wraps an index that may be negative, which prevents vector instructions.
@njit(fastmath=REORDER, **INNER)
def _add_row(taps, step, source, target):
    """``target[j] += sum_b taps[b] * source[j + b * step]`` for a window of up to seven columns."""
    width = target.shape[0]
    size = taps.shape[0]
    if size == 1:
        w0 = taps[0]
        for j in range(width):
            target[j] += w0 * source[j]
        return
    w0, w1, w2 = taps[0], taps[1], taps[2]
    s1, s2 = source[step:], source[2 * step :]
    for j in range(width):
        target[j] += w0 * source[j] + w1 * s1[j] + w2 * s2[j]
    if size > 3:
        w3, w4 = taps[3], taps[4]
        s3, s4 = source[3 * step :], source[4 * step :]
        for j in range(width):
            target[j] += w3 * s3[j] + w4 * s4[j]
    if size > 5:
        w5, w6 = taps[5], taps[6]
        s5, s6 = source[5 * step :], source[6 * step :]
        for j in range(width):
            target[j] += w5 * s5[j] + w6 * s6[j]


@njit(fastmath=REORDER, **INNER)
def _nine(taps, down, right, source, target):
    """Compute a 3x3 window, the size in the paper, in one pass that writes ``target`` once."""
    w0, w1, w2 = taps[0, 0], taps[0, 1], taps[0, 2]
    w3, w4, w5 = taps[1, 0], taps[1, 1], taps[1, 2]
    w6, w7, w8 = taps[2, 0], taps[2, 1], taps[2, 2]
    s1, s2 = source[right:], source[2 * right :]
    s3, s4, s5 = source[down:], source[down + right :], source[down + 2 * right :]
    s6, s7, s8 = source[2 * down :], source[2 * down + right :], source[2 * (down + right) :]
    for j in range(target.shape[0]):
        target[j] = (
            (w0 * source[j] + w1 * s1[j] + w2 * s2[j])
            + (w3 * s3[j] + w4 * s4[j] + w5 * s5[j])
            + (w6 * s6[j] + w7 * s7[j] + w8 * s8[j])
        )


@njit(**INNER)
def _start(halo, pitch, taps, steps):
    """Return the index in a plane with a halo that the first tap of a window reads for the first output."""
    up = halo[0] - steps[0] * (taps.shape[0] // 2)
    return up * pitch + halo[1] - steps[1] * (taps.shape[1] // 2)


@njit(fastmath=REORDER, **INNER)
def _window(padded, halo, pitch, taps, steps, out):
    """Compute the sums of a window for each position of a plane with a halo."""
    source = padded[_start(halo, pitch, taps, steps) :]
    down, right = steps[0] * pitch, steps[1]
    if taps.shape[0] == 3 and taps.shape[1] == 3:
        _nine(taps, down, right, source, out)
        return
    out[:] = 0
    for a in range(taps.shape[0]):
        _add_row(taps[a], right, source[a * down :], out)


@njit(fastmath=REORDER, **INNER)
def _dots_of_nine(values, down, right, source, totals):
    """Add to ``totals`` the dot products of the values with the source shifted by each of nine taps. The values are read once."""
    zero = values.dtype.type(0)
    t0, t1, t2, t3, t4, t5, t6, t7, t8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
    s1, s2 = source[right:], source[2 * right :]
    s3, s4, s5 = source[down:], source[down + right :], source[down + 2 * right :]
    s6, s7, s8 = source[2 * down :], source[2 * down + right :], source[2 * (down + right) :]
    for j in range(values.shape[0]):
        value = values[j]
        t0 += value * source[j]
        t1 += value * s1[j]
        t2 += value * s2[j]
        t3 += value * s3[j]
        t4 += value * s4[j]
        t5 += value * s5[j]
        t6 += value * s6[j]
        t7 += value * s7[j]
        t8 += value * s8[j]
    totals[0, 0] += t0
    totals[0, 1] += t1
    totals[0, 2] += t2
    totals[1, 0] += t3
    totals[1, 1] += t4
    totals[1, 2] += t5
    totals[2, 0] += t6
    totals[2, 1] += t7
    totals[2, 2] += t8


@njit(fastmath=REORDER, **INNER)
def _dot(values, source):
    total = values.dtype.type(0)
    for j in range(values.shape[0]):
        total += values[j] * source[j]
    return total


@njit(fastmath=REORDER, **INNER)
def _correlate(padded, halo, pitch, steps, values, totals):
    """Add to ``totals`` the gradient of a window's taps, from a plane and the gradient of the sums, both with a halo."""
    source = padded[_start(halo, pitch, totals, steps) :]
    down, right = steps[0] * pitch, steps[1]
    first = halo[0] * pitch + halo[1]
    # The halo of the values is zero. Therefore products beyond the end of a row are zero too.
    inside = values[first : values.shape[0] - first]
    for start in range(0, inside.shape[0], PIECE):
        piece, under = inside[start : start + PIECE], source[start:]
        if totals.shape[0] == 3 and totals.shape[1] == 3:
            _dots_of_nine(piece, down, right, under, totals)
            continue
        for a in range(totals.shape[0]):
            for b in range(totals.shape[1]):
                totals[a, b] += _dot(piece, under[a * down + b * right :])


@njit(fastmath=REORDER, **INNER)
def _row(flat, pitch, columns, i):
    return flat[i * pitch : i * pitch + columns]


@njit(fastmath=REORDER, **INNER)
def _inside(padded, halo, pitch, columns, i):
    start = (halo[0] + i) * pitch + halo[1]
    return padded[start : start + columns]


@njit(fastmath=REORDER, **INNER)
def _sum(flat, pitch, rows, columns):
    total = 0.0
    for i in range(rows):
        row = _row(flat, pitch, columns, i)
        part = flat.dtype.type(0)
        for j in range(columns):
            part += row[j]
        total += part
    return total


@njit(fastmath=REORDER, **INNER)
def _squares(flat, pitch, rows, columns, centre):
    total = 0.0
    for i in range(rows):
        row = _row(flat, pitch, columns, i)
        part = flat.dtype.type(0)
        for j in range(columns):
            part += (row[j] - centre) * (row[j] - centre)
        total += part
    return total


# The next five functions round like torch's batch norm on a CPU, so that the features are bitwise equal to its result: squares are
# rounded before they are summed in double precision, a multiplication is fused with the following addition, and nothing else is
# reordered.
@njit(fastmath=REORDER, **INNER)
def _sum_in_double(plane):
    total = 0.0
    for i in range(plane.shape[0]):
        row = plane[i]
        for j in range(plane.shape[1]):
            total += np.float64(row[j])
    return total


@njit(fastmath=REORDER, **INNER)
def _squares_in_double(plane, centre):
    total = 0.0
    for i in range(plane.shape[0]):
        row = plane[i]
        for j in range(plane.shape[1]):
            away = row[j] - centre
            total += np.float64(away * away)
    return total


@njit(fastmath=FUSE, **INNER)
def _scale_and_shift(table, k, c, eps, mode):
    """Return scale and shift of a norm with known statistics, for ``u * scale + shift``, and its reciprocal standard deviation."""
    kind = table.dtype.type
    first = ROWS * k
    if mode == BATCH_NORM:
        spread = kind(1 / np.sqrt(np.float64(table[first + VAR, c]) + eps))
    else:
        spread = kind(1) / np.sqrt(table[first + VAR, c] + kind(eps))
    scale = spread * table[first + GAMMA, c]
    return scale, table[first + BETA, c] - table[first + MEAN, c] * scale, spread


@njit(fastmath=FUSE, **INNER)
def _put(plane, scale, shift, padded, halo, pitch):
    """Write a normed plane into a buffer with a halo."""
    for i in range(plane.shape[0]):
        row, target = plane[i], _inside(padded, halo, pitch, plane.shape[1], i)
        for j in range(plane.shape[1]):
            target[j] = row[j] * scale + shift


@njit(fastmath=FUSE, **INNER)
def _add_to(plane, scale, shift, padded, halo, pitch):
    """Add a normed plane to a buffer with a halo."""
    for i in range(plane.shape[0]):
        row, target = plane[i], _inside(padded, halo, pitch, plane.shape[1], i)
        for j in range(plane.shape[1]):
            target[j] += row[j] * scale + shift


@njit(**INNER)
def _put_branches(u1, u2, n, c, scales, shifts, padded, halo, pitch):
    """Write the sum of the normed branches for one plane into a buffer with a halo."""
    _put(u1[n, c], scales[0], shifts[0], padded, halo, pitch)
    if u2.shape[0]:
        _add_to(u2[n, c], scales[1], shifts[1], padded, halo, pitch)


@njit(**INNER)
def _measure(u, c, k, table, moments):
    """Compute mean and biased variance of a branch over the batch, and write them to ``moments`` and to the table."""
    kind = table.dtype.type
    count = u.shape[0] * u.shape[2] * u.shape[3]
    total = 0.0
    for n in range(u.shape[0]):
        total += _sum_in_double(u[n, c])
    mean = kind(total / count)
    squares = 0.0
    for n in range(u.shape[0]):
        squares += _squares_in_double(u[n, c], mean)
    moments[MOMENTS * k, c] = table[ROWS * k + MEAN, c] = mean
    moments[MOMENTS * k + 1, c] = table[ROWS * k + VAR, c] = kind(squares) / kind(count)


@njit(fastmath=REORDER, **INNER)
def _larger(first, second):
    # NaN propagates, as in torch.maximum.
    return first if first > second or first != first else second


@njit(fastmath=REORDER, **INNER)
def _share(mine, other, gradient):
    """Return the part of the gradient of a maximum that ``mine`` gets, which is half if both values are equal."""
    # float32 constants do not promote single precision to double.
    if mine > other:
        return gradient
    return gradient * np.float32(0.5) if mine == other else np.float32(0)


@njit(fastmath=REORDER, **INNER)
def _activate(padded, halo, pitch, sums, norm, maximum, y):
    """Compute ``y = max(x, T)`` for a plane from the sums of the windows."""
    rows, columns = y.shape
    centre, scale, shift = norm[0, 0], norm[0, 1], norm[0, 2]
    centre2, scale2, shift2 = norm[1, 0], norm[1, 1], norm[1, 2]
    for i in range(rows):
        own = _inside(padded, halo, pitch, columns, i)
        out, t = y[i], _row(sums[0], pitch, columns, i)
        if sums.shape[0] == 1:
            for j in range(columns):
                out[j] = _larger(own[j], (t[j] - centre) * scale + shift)
            continue
        t2 = _row(sums[1], pitch, columns, i)
        if maximum:
            for j in range(columns):
                second = (t2[j] - centre2) * scale2 + shift2
                out[j] = _larger(own[j], _larger((t[j] - centre) * scale + shift, second))
        else:
            for j in range(columns):
                second = (t2[j] - centre2) * scale2 + shift2
                out[j] = _larger(own[j], (t[j] - centre) * scale + shift + second)


@njit(fastmath=REORDER, **INNER)
def _forward_channels(
    start, stop, u1, u2, y, taps1, taps2, steps, halo, maximum, table, eps, modes, moments, workspace
):  # fmt: skip
    images, _, rows, columns = y.shape
    windows = 1 if taps2.shape[1] == 0 else 2
    count = images * rows * columns
    pitch = columns + 2 * halo[1]
    size, size_of_sums = (rows + 2 * halo[0]) * pitch, (rows - 1) * pitch + columns
    padded = workspace[: images * size].reshape(images, size)
    sums = workspace[images * size :][: images * windows * size_of_sums]
    sums = sums.reshape(images, windows, size_of_sums)
    padded[:] = 0
    norm = np.zeros((2, 3), y.dtype)
    scales, shifts = np.ones(2, y.dtype), np.zeros(2, y.dtype)
    for c in range(start, stop):
        for branch, u in enumerate((u1, u2)):
            k = BRANCH + branch
            if modes[k] == BATCH_NORM:
                _measure(u, c, k, table, moments)
            if modes[k] != NO_NORM:
                scales[branch], shifts[branch], _ = _scale_and_shift(table, k, c, eps[k], modes[k])
        for n in range(images):
            _put_branches(u1, u2, n, c, scales, shifts, padded[n], halo, pitch)
            _window(padded[n], halo, pitch, taps1[c], steps[0], sums[n, 0])
            if windows == 2:
                _window(padded[n], halo, pitch, taps2[c], steps[1], sums[n, 1])
        for k in range(windows):
            first = ROWS * k
            if modes[k] != BATCH_NORM:
                norm[k, 1], _, _ = _scale_and_shift(table, k, c, eps[k], modes[k])
                norm[k, 0] = table[first + MEAN, c] - table[first + BIAS, c]
                norm[k, 2] = table[first + BETA, c]
                continue
            total = 0.0
            for n in range(images):
                total += _sum(sums[n, k], pitch, rows, columns)
            mean = y.dtype.type(total / count)
            squares = 0.0
            for n in range(images):
                squares += _squares(sums[n, k], pitch, rows, columns, mean)
            moments[MOMENTS * k, c] = mean
            moments[MOMENTS * k + 1, c] = squares / count
            norm[k, 0] = mean
            norm[k, 1] = table[first + GAMMA, c] / np.sqrt(squares / count + eps[k])
            norm[k, 2] = table[first + BETA, c]
        for n in range(images):
            _activate(padded[n], halo, pitch, sums[n], norm, maximum, y[n, c])


@njit(parallel=True, nogil=True, cache=True)
def forward(u1, u2, y, taps1, taps2, steps, halo, maximum, table, eps, modes, moments, workspace):
    """Compute ``y = max(x, T(x))``, where x is the sum of the normed branches, and the moments of batch norms.

    Args:
        u1: First branch, (N, C, H, W).
        u2: Second branch, with zero images if there is none.
        y: Output: the activated features.
        taps1: First window, (C, rows, columns).
        taps2: Second window, with zero rows if there is none.
        steps: Dilation of each window, (2, 2).
        halo: Rows and columns of the halo, (2,).
        maximum: Whether two windows are combined by their maximum instead of their sum.
        table: Values per channel, (20, C), see :data:`ROWS`: bias, scale, shift, mean and variance for each norm. Without a norm
            they are 0, 1, 0, 0, 1. A batch norm cancels the bias, so its bias is 0. Mean and variance of a branch's batch norm
            are outputs.
        eps: Value that each norm adds to the variance, (4,).
        modes: Mode of each norm, (4,): no norm, fixed statistics, or statistics of the batch.
        moments: Output for batch norms: mean and biased variance, (8, C).
        workspace: One row for each thread; :class:`.backend.NumbaFunnelPlan` computes its size.
    """
    channels = taps1.shape[0]
    threads = workspace.shape[0]
    for thread in prange(threads):
        _forward_channels(
            thread * channels // threads, (thread + 1) * channels // threads,
            u1, u2, y, taps1, taps2, steps, halo, maximum, table, eps, modes, moments, workspace[thread],
        )  # fmt: skip


@njit(fastmath=REORDER, **INNER)
def _share_out(padded, halo, pitch, sums, norm, maximum, grad, shares, totals):
    """Compute the part of the gradient that goes to the values of each window.

    The result is written to ``shares``. Its sum, and the sum of its products with the distance from the centre, are added to
    ``totals`` (windows, 2).
    """
    rows, columns = grad.shape
    centre, scale, shift = norm[0, 0], norm[0, 1], norm[0, 2]
    centre2, scale2, shift2 = norm[1, 0], norm[1, 1], norm[1, 2]
    for i in range(rows):
        own = _inside(padded, halo, pitch, columns, i)
        g, t, out = grad[i], _row(sums[0], pitch, columns, i), _row(shares[0], pitch, columns, i)
        plain = grad.dtype.type(0)
        weighted = grad.dtype.type(0)
        if sums.shape[0] == 1:
            for j in range(columns):
                away = t[j] - centre
                share = _share(away * scale + shift, own[j], g[j])
                out[j] = share
                plain += share
                weighted += share * away
            totals[0, 0] += plain
            totals[0, 1] += weighted
            continue
        t2, out2 = _row(sums[1], pitch, columns, i), _row(shares[1], pitch, columns, i)
        plain2 = grad.dtype.type(0)
        weighted2 = grad.dtype.type(0)
        for j in range(columns):
            away, away2 = t[j] - centre, t2[j] - centre2
            first, second = away * scale + shift, away2 * scale2 + shift2
            if maximum:
                both = _share(_larger(first, second), own[j], g[j])
                share = _share(first, second, both)
                share2 = both - share
            else:
                share = _share(first + second, own[j], g[j])
                share2 = share
            out[j] = share
            out2[j] = share2
            plain += share
            weighted += share * away
            plain2 += share2
            weighted2 += share2 * away2
        totals[0, 0] += plain
        totals[0, 1] += weighted
        totals[1, 0] += plain2
        totals[1, 1] += weighted2


@njit(fastmath=REORDER, **INNER)
def _through_norm(shares, sums, norm, less, halo, pitch, rows, columns, target):
    """Compute the gradient of the sums of a window, with a halo.

    ``less`` holds what a batch norm subtracts: a constant, and a factor of the distance from the centre.
    """
    centre, scale, constant, multiple = norm[0], norm[1], less[0], less[1]
    for i in range(rows):
        share, t = _row(shares, pitch, columns, i), _row(sums, pitch, columns, i)
        out = _inside(target, halo, pitch, columns, i)
        for j in range(columns):
            out[j] = scale * (share[j] - constant - (t[j] - centre) * multiple)


@njit(fastmath=REORDER, **INNER)
def _gather(grad, shares, through, pitch, maximum, dx):
    """Compute the gradient of x: the part that does not go to the windows' values, and the part that comes through the windows."""
    rows, columns = grad.shape
    for i in range(rows):
        g, share, out = grad[i], _row(shares[0], pitch, columns, i), dx[i]
        back = _row(through[0], pitch, columns, i)
        if shares.shape[0] == 1:
            for j in range(columns):
                out[j] = g[j] - share[j] + back[j]
            continue
        share2, back2 = _row(shares[1], pitch, columns, i), _row(through[1], pitch, columns, i)
        if maximum:
            for j in range(columns):
                out[j] = g[j] - share[j] - share2[j] + back[j] + back2[j]
        else:
            for j in range(columns):
                out[j] = g[j] - share[j] + back[j] + back2[j]


@njit(fastmath=REORDER, **INNER)
def _norm_sums(grad, u, centre, totals):
    """Add to ``totals`` the sum of the gradients of a plane, and the sum of their products with the distance from the centre."""
    for i in range(grad.shape[0]):
        g, row = grad[i], u[i]
        plain = grad.dtype.type(0)
        weighted = grad.dtype.type(0)
        for j in range(grad.shape[1]):
            plain += g[j]
            weighted += g[j] * (row[j] - centre)
        totals[0] += plain
        totals[1] += weighted


@njit(fastmath=REORDER, **INNER)
def _norm_gradient(grad, u, centre, scale, constant, multiple, out):
    """Compute the gradient of the input of a norm. ``out`` may be ``grad``."""
    for i in range(grad.shape[0]):
        g, row, target = grad[i], u[i], out[i]
        for j in range(grad.shape[1]):
            target[j] = scale * (g[j] - constant - (row[j] - centre) * multiple)


@njit(**INNER)
def _copy(plane, target):
    for i in range(plane.shape[0]):
        row, out = plane[i], target[i]
        for j in range(plane.shape[1]):
            out[j] = row[j]


@njit(fastmath=REORDER, **INNER)
def _branch_backward(u, dx, du, c, k, table, eps, modes, gradients):
    """Compute the gradient of a branch, whose norm has index k, from the gradient of x, for one channel."""
    images, _, rows, columns = u.shape
    if modes[k] == NO_NORM:
        for n in range(images):
            _copy(dx[n, c], du[n, c])
        return
    count = images * rows * columns
    scale, _, spread = _scale_and_shift(table, k, c, eps[k], modes[k])
    centre = table[ROWS * k + MEAN, c]
    totals = np.zeros(2, np.float64)
    for n in range(images):
        _norm_sums(dx[n, c], u[n, c], centre, totals)
    gradients[GRADIENTS * k + GAMMA, c] = totals[1] * spread
    gradients[GRADIENTS * k + BETA, c] = totals[0]
    if modes[k] == FIXED_NORM:
        totals[:] = 0
    constant = u.dtype.type(totals[0] / count)
    multiple = u.dtype.type(totals[1] / count * spread * spread)
    for n in range(images):
        _norm_gradient(dx[n, c], u[n, c], centre, scale, constant, multiple, du[n, c])


@njit(fastmath=REORDER, **INNER)
def _backward_channels(
    start, stop, u1, u2, taps1, taps2, steps, halo, maximum, table, eps, modes,
    grad, du1, du2, dtaps1, dtaps2, gradients, workspace,
):  # fmt: skip
    images, _, rows, columns = u1.shape
    windows = 1 if taps2.shape[1] == 0 else 2
    count = images * rows * columns
    # The gradient of x is written into that of the second branch if this has no norm, and otherwise into that of the first.
    is_shortcut = u2.shape[0] > 0 and modes[BRANCH + 1] == NO_NORM
    dx = du2 if is_shortcut else du1
    pitch = columns + 2 * halo[1]
    size, size_of_sums = (rows + 2 * halo[0]) * pitch, (rows - 1) * pitch + columns
    with_halo = workspace[: (images + 1) * size].reshape(images + 1, size)
    with_halo[:] = 0
    padded, dsums = with_halo[:images], with_halo[images]
    others = workspace[(images + 1) * size :][: (2 * images + 1) * windows * size_of_sums]
    others = others.reshape(2 * images + 1, windows, size_of_sums)
    sums, shares, through = others[:images], others[images:-1], others[-1]
    norm = np.zeros((2, 3), grad.dtype)
    scales, shifts = np.ones(2, grad.dtype), np.zeros(2, grad.dtype)
    less = np.zeros((2, 2), grad.dtype)
    totals = np.zeros((2, 2), np.float64)
    of_taps1 = np.zeros(taps1.shape[1:], np.float64)
    of_taps2 = np.zeros(taps2.shape[1:], np.float64)
    for c in range(start, stop):
        spread = np.zeros(2, np.float64)
        for k in range(windows):
            norm[k, 1], _, spread[k] = _scale_and_shift(table, k, c, eps[k], modes[k])
            norm[k, 0] = table[ROWS * k + MEAN, c] - table[ROWS * k + BIAS, c]
            norm[k, 2] = table[ROWS * k + BETA, c]
        for branch in range(2):
            k = BRANCH + branch
            if modes[k] != NO_NORM:
                scales[branch], shifts[branch], _ = _scale_and_shift(table, k, c, eps[k], modes[k])
        totals[:] = 0
        for n in range(images):
            _put_branches(u1, u2, n, c, scales, shifts, padded[n], halo, pitch)
            _window(padded[n], halo, pitch, taps1[c], steps[0], sums[n, 0])
            if windows == 2:
                _window(padded[n], halo, pitch, taps2[c], steps[1], sums[n, 1])
            _share_out(
                padded[n], halo, pitch, sums[n], norm, maximum, grad[n, c], shares[n], totals
            )
        for k in range(windows):
            # A shift of all values of a channel does not change the output of a batch norm.
            bias = 0 if modes[k] == BATCH_NORM else totals[k, 0] * norm[k, 1]
            gradients[GRADIENTS * k + BIAS, c] = bias
            gradients[GRADIENTS * k + GAMMA, c] = totals[k, 1] * spread[k]
            gradients[GRADIENTS * k + BETA, c] = totals[k, 0]
            if modes[k] == BATCH_NORM:
                less[k, 0] = totals[k, 0] / count
                less[k, 1] = totals[k, 1] / count * spread[k] * spread[k]
        of_taps1[:] = 0
        of_taps2[:] = 0
        turned1, turned2 = taps1[c, ::-1, ::-1].copy(), taps2[c, ::-1, ::-1].copy()
        for n in range(images):
            _through_norm(
                shares[n, 0], sums[n, 0], norm[0], less[0], halo, pitch, rows, columns, dsums
            )
            _correlate(padded[n], halo, pitch, steps[0], dsums, of_taps1)
            _window(dsums, halo, pitch, turned1, steps[0], through[0])
            if windows == 2:
                _through_norm(
                    shares[n, 1], sums[n, 1], norm[1], less[1], halo, pitch, rows, columns, dsums
                )
                _correlate(padded[n], halo, pitch, steps[1], dsums, of_taps2)
                _window(dsums, halo, pitch, turned2, steps[1], through[1])
            _gather(grad[n, c], shares[n], through, pitch, maximum, dx[n, c])
        dtaps1[c] = of_taps1
        dtaps2[c] = of_taps2
        if u2.shape[0] and not is_shortcut:
            _branch_backward(u2, dx, du2, c, BRANCH + 1, table, eps, modes, gradients)
        if is_shortcut or modes[BRANCH] != NO_NORM:
            _branch_backward(u1, dx, du1, c, BRANCH, table, eps, modes, gradients)


@njit(parallel=True, nogil=True, cache=True)
def backward(
    u1, u2, taps1, taps2, steps, halo, maximum, table, eps, modes,
    grad, du1, du2, dtaps1, dtaps2, gradients, workspace,
):  # fmt: skip
    """Compute the gradients of the branches, of the windows, and of the norms of both.

    Args:
        u1: First branch, (N, C, H, W).
        u2: Second branch, with zero images if there is none.
        taps1: As in :func:`forward`.
        taps2: As there.
        steps: As there.
        halo: As there.
        maximum: As there.
        table: As there, but mean and variance of every batch norm are inputs.
        eps: As in :func:`forward`.
        modes: As there.
        grad: Gradient of y, (N, C, H, W).
        du1: Output: gradient of the first branch.
        du2: Output: gradient of the second branch.
        dtaps1: Output: gradient of the first window.
        dtaps2: Output: gradient of the second window.
        gradients: Output: gradients of bias, scale and shift, (12, C), of each window and of each branch with a norm.
        workspace: One row for each thread; :class:`.backend.NumbaFunnelPlan` computes its size.
    """
    channels = taps1.shape[0]
    threads = workspace.shape[0]
    for thread in prange(threads):
        _backward_channels(
            thread * channels // threads, (thread + 1) * channels // threads,
            u1, u2, taps1, taps2, steps, halo, maximum, table, eps, modes,
            grad, du1, du2, dtaps1, dtaps2, gradients, workspace[thread],
        )  # fmt: skip
