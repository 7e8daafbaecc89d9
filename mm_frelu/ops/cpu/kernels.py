r"""The funnel activation on a CPU, compiled by Numba: a channel at a time, each plane in the cache from first to last.

A plane is one channel of one image. All that is computed concerns one channel at a time, so a thread takes a channel
through all steps before it takes the next: memory sees the features once. A plane is put into a halo of zeros,
flat in memory, so that a window is one long loop whatever the width of a row; what it computes beyond a row's end is never
read. Such rows, halo included, are one ``pitch`` apart.

A window's sums ``t`` become its values ``(t - centre) * scale + shift`` by its norm. Sums over a plane are taken in the type
of the features piece by piece, and in double precision from then on. One thread sums a channel, so that results do not
depend on their number.

All functions are in this one file because Numba's cache notices a change in the file of a kernel, not in those it calls.
"""

import numpy as np
from numba import njit, prange

# Sums may be reordered, which vector instructions need, and products be fused with additions. NaN and infinity stay
# what they are.
REORDER = {'reassoc', 'contract', 'nsz'}
FUSE = {'contract'}
INNER = {'no_cpython_wrapper': True, 'no_cfunc_wrapper': True, 'error_model': 'numpy'}
"""For functions that Python does not call: without wrappers they compile faster. Divisions by zero give infinity, as torch's
do: by the deviation of a constant channel, where a norm has no epsilon."""

PIECE = 4096
"""Products that are summed in the type of the features."""

NO_NORM, FIXED_NORM, BATCH_NORM = 0, 1, 2
BIAS, GAMMA, BETA, MEAN, VAR = range(5)
"""Rows of a table of numbers per channel, for each of four norms: those of two windows, then those of two branches."""
ROWS = 5
BRANCH = 2
"""Number of the first branch's norm."""
GRADIENTS, MOMENTS = 3, 2
"""Rows for each norm of a table of gradients: of bias, scale and shift; and of one of moments: mean and biased variance."""


# Shifted views below, not shifted indices: Numba wraps an index that may be negative, which no vector instruction does.
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
    """A window of three rows and columns, the paper's, in one go: ``target`` is written once."""
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
    """Where, in a plane with a halo, the first tap of a window's first position is."""
    up = halo[0] - steps[0] * (taps.shape[0] // 2)
    return up * pitch + halo[1] - steps[1] * (taps.shape[1] // 2)


@njit(fastmath=REORDER, **INNER)
def _window(padded, halo, pitch, taps, steps, out):
    """Slide a window over a plane with a halo."""
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
    """Products of values with what is under each of nine taps: the values are read once."""
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
    """Adds to ``totals`` the gradient of a window's taps: products of a plane and its values' gradients, both with halo."""
    source = padded[_start(halo, pitch, totals, steps) :]
    down, right = steps[0] * pitch, steps[1]
    first = halo[0] * pitch + halo[1]
    # The halo of the values is zero, so that the products beyond a row's end are, too.
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


# The next five round as torch's batch norm on a CPU does, so that features are bit for bit what its own kernel gives: sums
# in double precision of what is rounded before, products fused with the addition that follows, nothing else reordered.
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
    """Scale and shift of a norm with known statistics, and its reciprocal standard deviation, for ``u * scale + shift``."""
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
    """Put a normed plane into its halo."""
    for i in range(plane.shape[0]):
        row, target = plane[i], _inside(padded, halo, pitch, plane.shape[1], i)
        for j in range(plane.shape[1]):
            target[j] = row[j] * scale + shift


@njit(fastmath=FUSE, **INNER)
def _add_to(plane, scale, shift, padded, halo, pitch):
    """Add a normed plane to what is there."""
    for i in range(plane.shape[0]):
        row, target = plane[i], _inside(padded, halo, pitch, plane.shape[1], i)
        for j in range(plane.shape[1]):
            target[j] += row[j] * scale + shift


@njit(**INNER)
def _put_branches(u1, u2, n, c, scales, shifts, padded, halo, pitch):
    """The normed sum of the branches, for a plane, into its halo."""
    _put(u1[n, c], scales[0], shifts[0], padded, halo, pitch)
    if u2.shape[0]:
        _add_to(u2[n, c], scales[1], shifts[1], padded, halo, pitch)


@njit(**INNER)
def _measure(u, c, k, table, moments):
    """Moments of a branch, for a norm over the batch: mean and biased variance, into the table, too."""
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
    # NaN wins, as in torch.maximum.
    return first if first > second or first != first else second


@njit(fastmath=REORDER, **INNER)
def _share(mine, other, gradient):
    """The part of a maximum's gradient that ``mine`` gets: half where both are equal."""
    # Numbers of the narrower type, which do not widen single precision.
    if mine > other:
        return gradient
    return gradient * np.float32(0.5) if mine == other else np.float32(0)


@njit(fastmath=REORDER, **INNER)
def _activate(padded, halo, pitch, sums, norm, maximum, y):
    """``y = max(x, T)`` for a plane, from the windows' sums."""
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
    """``y = max(x, T(x))``, where x is the normed sum of the branches; and the moments that norms over the batch find.

    Args:
        u1: First branch, (N, C, H, W).
        u2: Second branch; without images if there is none.
        y: Written: the activated features.
        taps1: First window, (C, rows, columns).
        taps2: Second window; without rows if there is none.
        steps: Dilation of each window, (2, 2).
        halo: Rows and columns around a plane that the windows reach into, (2,).
        maximum: Whether two windows become one condition by their maximum.
        table: Numbers per channel, (20, C), see :data:`ROWS`: bias, scale, shift, mean and variance for each norm. Without
            norm they are 0, 1, 0, 0, 1. A norm over the batch takes the bias out again: it is 0 there. Its mean and variance
            are written if it is that of a branch.
        eps: Added to the variance by each norm, (4,).
        modes: What each norm does, (4,): nothing, take fixed statistics, take those of the batch.
        moments: Written for norms over the batch: mean and biased variance, (8, C).
        workspace: Memory to work in, a row for each thread: see :meth:`.backend.FunnelPlan.forward`.
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
    """The part of the gradient that each window's values get.

    It goes to ``shares``; its sum, and that of its products with the distance from the centre, are added to ``totals``
    (windows, 2).
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
    """Gradient of a window's sums, with a halo.

    ``less`` is what a norm with statistics of the batch takes away: a constant, and a multiple of the distance from the
    centre.
    """
    centre, scale, constant, multiple = norm[0], norm[1], less[0], less[1]
    for i in range(rows):
        share, t = _row(shares, pitch, columns, i), _row(sums, pitch, columns, i)
        out = _inside(target, halo, pitch, columns, i)
        for j in range(columns):
            out[j] = scale * (share[j] - constant - (t[j] - centre) * multiple)


@njit(fastmath=REORDER, **INNER)
def _gather(grad, shares, through, pitch, maximum, dx):
    """Gradient of x: what the windows' values do not get, and what comes back through the windows."""
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
    """Adds to ``totals`` the sum of a plane's gradients, and of their products with the distance from the centre."""
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
    """Gradient of a norm's input; ``out`` may be ``grad``."""
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
    """From the gradient of x to that of a branch, whose norm is number k, for one channel."""
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
    # The gradient of x is put where that of a branch will be: of a second one that is just added, else of the first.
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
            # Moving all values of a channel together does not move the output of a norm over the batch.
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
    """Gradients of the branches, whose normed sum is x, of their norms, of the windows and of theirs.

    Args:
        u1: First branch, (N, C, H, W).
        u2: Second branch; without images if there is none.
        taps1: As in :func:`forward`, and so on to ``modes``; statistics of the batch are in the table.
        taps2: See there.
        steps: See there.
        halo: See there.
        maximum: See there.
        table: See there.
        eps: See there.
        modes: See there.
        grad: Gradient of y, (N, C, H, W).
        du1: Written: gradient of the first branch.
        du2: Written: gradient of the second.
        dtaps1: Written: gradient of the first window.
        dtaps2: Written: gradient of the second.
        gradients: Written: gradients of bias, scale and shift, (12, C), for each window, and for each branch with a norm.
        workspace: Memory to work in, a row for each thread: see :meth:`.backend.FunnelPlan.backward`.
    """
    channels = taps1.shape[0]
    threads = workspace.shape[0]
    for thread in prange(threads):
        _backward_channels(
            thread * channels // threads, (thread + 1) * channels // threads,
            u1, u2, taps1, taps2, steps, halo, maximum, table, eps, modes,
            grad, du1, du2, dtaps1, dtaps2, gradients, workspace[thread],
        )  # fmt: skip
