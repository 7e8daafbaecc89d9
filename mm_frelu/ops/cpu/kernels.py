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
ROWS, NORMS = 5, 4
BRANCH = 2
"""Index of the norm of the first branch."""
GRADIENTS = 3
"""Rows for each norm in the table of gradients: bias, scale, shift."""
CENTRE, SCALE, SHIFT, OFFSET, SPREAD = range(5)
"""Values of a norm for one channel, see :func:`_load_norm`."""


# The functions below shift views instead of indices. Numba wraps an index that may be negative, which prevents vector instructions.
@njit(fastmath=REORDER, **INNER)
def _add_one(tap, source, target):
    for j in range(target.shape[0]):
        target[j] += tap * source[j]


@njit(fastmath=REORDER, **INNER)
def _add_three(taps, step, source, target):
    """``target[j] += sum_b taps[b] * source[j + b * step]`` for three taps."""
    w0, w1, w2 = taps[0], taps[1], taps[2]
    s1, s2 = source[step:], source[2 * step :]
    for j in range(target.shape[0]):
        target[j] += w0 * source[j] + w1 * s1[j] + w2 * s2[j]


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
    up = halo[0] - steps[0] * (taps.shape[0] - 1) // 2
    return up * pitch + halo[1] - steps[1] * (taps.shape[1] - 1) // 2


@njit(fastmath=REORDER, **INNER)
def _window(padded, halo, pitch, taps, steps, out):
    """Compute the sums of a window for each position of a plane with a halo."""
    source = padded[_start(halo, pitch, taps, steps) :]
    down, right = steps[0] * pitch, steps[1]
    if taps.shape[0] == 3 and taps.shape[1] == 3:
        _nine(taps, down, right, source, out)
        return
    for start in range(0, out.shape[0], PIECE):
        piece = out[start : start + PIECE]
        piece[:] = 0
        for a in range(taps.shape[0]):
            row = source[start + a * down :]
            threes = taps.shape[1] // 3 * 3
            for b in range(0, threes, 3):
                _add_three(taps[a, b:], right, row[b * right :], piece)
            for b in range(threes, taps.shape[1]):
                _add_one(taps[a, b], row[b * right :], piece)


@njit(fastmath=REORDER, **INNER)
def _dots_of_three(values, step, source, totals):
    """Add to ``totals`` the dot products of the values with the source shifted by each of three taps. The values are read once."""
    zero = values.dtype.type(0)
    t0, t1, t2 = zero, zero, zero
    s1, s2 = source[step:], source[2 * step :]
    for j in range(values.shape[0]):
        value = values[j]
        t0 += value * source[j]
        t1 += value * s1[j]
        t2 += value * s2[j]
    totals[0] += t0
    totals[1] += t1
    totals[2] += t2


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
        for a in range(totals.shape[0]):
            threes = totals.shape[1] // 3 * 3
            for b in range(0, threes, 3):
                _dots_of_three(piece, right, under[a * down + b * right :], totals[a, b:])
            for b in range(threes, totals.shape[1]):
                totals[a, b] += _dot(piece, under[a * down + b * right :])


@njit(**INNER)
def _row(flat, pitch, columns, i):
    return flat[i * pitch : i * pitch + columns]


# The next four functions round like torch's batch norm on a CPU, so that the normed branches are bitwise equal to its result:
# squares are rounded before they are summed in double precision, a multiplication is fused with the following addition, and
# nothing else is reordered.
@njit(fastmath=REORDER, **INNER)
def _sum(flat, pitch, rows, columns, zero):
    """Sum over a plane. The sum of a row has the type of ``zero``: double for a branch, that of the features for a window."""
    total = 0.0
    for i in range(rows):
        row = _row(flat, pitch, columns, i)
        part = zero
        for j in range(columns):
            part += row[j]
        total += part
    return total


@njit(fastmath=REORDER, **INNER)
def _squares(flat, pitch, rows, columns, centre, zero):
    """Compute the same sum of the squared distances from the centre."""
    total = 0.0
    for i in range(rows):
        row = _row(flat, pitch, columns, i)
        part = zero
        for j in range(columns):
            away = row[j] - centre
            part += away * away
        total += part
    return total


@njit(**INNER)
def _measure(planes, index, pitch, rows, columns, zero, k, c, table):
    """Write mean and biased variance of ``planes[:, index]`` over the batch to the table."""
    kind = table.dtype.type
    count = planes.shape[0] * rows * columns
    total = 0.0
    for n in range(planes.shape[0]):
        total += _sum(planes[n, index], pitch, rows, columns, zero)
    mean = kind(total / count)
    squares = 0.0
    for n in range(planes.shape[0]):
        squares += _squares(planes[n, index], pitch, rows, columns, mean, zero)
    table[ROWS * k + MEAN, c] = mean
    table[ROWS * k + VAR, c] = kind(squares) / kind(count)


@njit(fastmath=FUSE, **INNER)
def _load_norm(table, k, c, eps, modes, norms):
    """Write centre, scale, shift, offset and reciprocal standard deviation of a norm with known statistics to ``norms[k]``.

    The values of a window are ``(t - centre) * scale + shift``, those of a branch ``u * scale + offset``.
    """
    kind = table.dtype.type
    bias, gamma, beta, mean, var = table[ROWS * k : ROWS * (k + 1), c]
    if modes[k] == BATCH_NORM:
        spread = kind(1 / np.sqrt(np.float64(var) + eps[k]))
    else:
        spread = kind(1) / np.sqrt(var + kind(eps[k]))
    scale = spread * gamma
    norms[k] = (mean - bias, scale, beta, beta - mean * scale, spread)


@njit(fastmath=FUSE, **INNER)
def _put_branches(us, n, c, norms, inside, pitch, columns):
    """Write the sum of the normed branches for one plane into a buffer with a halo."""
    for branch in range(2):
        if us[branch].shape[0] == 0:
            continue
        plane = us[branch][n, c]
        scale, offset = norms[BRANCH + branch, SCALE], norms[BRANCH + branch, OFFSET]
        for i in range(plane.shape[0] // columns):
            row, target = _row(plane, columns, columns, i), _row(inside, pitch, columns, i)
            for j in range(columns):
                value = row[j] * scale + offset
                target[j] = target[j] + value if branch else value


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
def _activate(inside, pitch, sums, norms, maximum, columns, y):
    """Compute ``y = max(x, T)`` for a plane from the sums of the windows."""
    windows = sums.shape[0]
    centre, scale, shift = norms[0, CENTRE], norms[0, SCALE], norms[0, SHIFT]
    centre2, scale2, shift2 = norms[1, CENTRE], norms[1, SCALE], norms[1, SHIFT]
    for i in range(y.shape[0] // columns):
        own, out = _row(inside, pitch, columns, i), _row(y, columns, columns, i)
        t, t2 = _row(sums[0], pitch, columns, i), _row(sums[windows - 1], pitch, columns, i)
        for j in range(columns):
            value = (t[j] - centre) * scale + shift
            if windows == 2:
                second = (t2[j] - centre2) * scale2 + shift2
                value = _larger(value, second) if maximum else value + second
            out[j] = _larger(own[j], value)


@njit(fastmath=REORDER, **INNER)
def _forward_channels(
    start, stop, us, y, taps, steps, halo, columns, maximum, table, eps, modes, workspace
):  # fmt: skip
    images, rows = y.shape[0], y.shape[2] // columns
    windows = 2 if taps[1].shape[0] else 1
    pitch = columns + 2 * halo[1]
    first = halo[0] * pitch + halo[1]
    size, size_of_sums = (rows + 2 * halo[0]) * pitch, (rows - 1) * pitch + columns
    padded = workspace[: images * size].reshape(images, size)
    sums = workspace[images * size :][: images * windows * size_of_sums]
    sums = sums.reshape(images, windows, size_of_sums)
    padded[:] = 0
    norms, zero = np.empty((NORMS, 5), y.dtype), y.dtype.type(0)
    for c in range(start, stop):
        for branch in range(2):
            k = BRANCH + branch
            if modes[k] == BATCH_NORM:
                _measure(us[branch], c, columns, rows, columns, 0.0, k, c, table)
            _load_norm(table, k, c, eps, modes, norms)
        for n in range(images):
            _put_branches(us, n, c, norms, padded[n][first:], pitch, columns)
            for k in range(windows):
                _window(padded[n], halo, pitch, taps[k][c], steps[k], sums[n, k])
        for k in range(2):
            if modes[k] == BATCH_NORM:
                _measure(sums, k, pitch, rows, columns, zero, k, c, table)
            _load_norm(table, k, c, eps, modes, norms)
        for n in range(images):
            _activate(padded[n][first:], pitch, sums[n], norms, maximum, columns, y[n, c])


@njit(parallel=True, nogil=True, cache=True)
def forward(us, y, taps, steps, halo, columns, maximum, table, eps, modes, workspace):
    """Compute ``y = max(x, T(x))``, where x is the sum of the normed branches.

    Args:
        us: The two branches, (N, C, H * W). If there is only one, the second is empty.
        y: Output: the activated features, (N, C, H * W).
        taps: The two windows, (C, rows, columns). If there is only one, the second is empty.
        steps: Dilation of each window, (2, 2).
        halo: Rows and columns of the halo, (2,).
        columns: W.
        maximum: Whether two windows are combined by their maximum instead of their sum.
        table: Values per channel, (20, C), see :data:`ROWS`: bias, scale, shift, mean and variance for each norm. Without a norm
            they are 0, 1, 0, 0, 1. A batch norm cancels the bias, so its bias is 0. Mean and biased variance of a batch norm are
            outputs.
        eps: Value that each norm adds to the variance, (4,).
        modes: Mode of each norm, (4,): no norm, fixed statistics, or statistics of the batch.
        workspace: One row for each thread; :class:`.backend.NumbaFunnelPlan` computes its size.
    """
    channels = y.shape[1]
    threads = workspace.shape[0]
    for thread in prange(threads):
        _forward_channels(
            thread * channels // threads, (thread + 1) * channels // threads,
            us, y, taps, steps, halo, columns, maximum, table, eps, modes, workspace[thread],
        )  # fmt: skip


@njit(fastmath=REORDER, **INNER)
def _share_out(inside, pitch, sums, norms, maximum, columns, grad, shares, totals):
    """Compute the part of the gradient that goes to the values of each window.

    The result is written to ``shares``. Its sum, and the sum of its products with the distance from the centre, are added to
    ``totals`` (windows, 2).
    """
    windows = sums.shape[0]
    centre, scale, shift = norms[0, CENTRE], norms[0, SCALE], norms[0, SHIFT]
    centre2, scale2, shift2 = norms[1, CENTRE], norms[1, SCALE], norms[1, SHIFT]
    for i in range(grad.shape[0] // columns):
        own, g = _row(inside, pitch, columns, i), _row(grad, columns, columns, i)
        t, t2 = _row(sums[0], pitch, columns, i), _row(sums[windows - 1], pitch, columns, i)
        out, out2 = _row(shares[0], pitch, columns, i), _row(shares[windows - 1], pitch, columns, i)
        zero = grad.dtype.type(0)
        plain, weighted, plain2, weighted2 = zero, zero, zero, zero
        for j in range(columns):
            away = t[j] - centre
            value = away * scale + shift
            if windows == 1:
                share = _share(value, own[j], g[j])
            else:
                away2 = t2[j] - centre2
                second = away2 * scale2 + shift2
                if maximum:
                    both = _share(_larger(value, second), own[j], g[j])
                    share = _share(value, second, both)
                    share2 = both - share
                else:
                    share = _share(value + second, own[j], g[j])
                    share2 = share
                out2[j] = share2
                plain2 += share2
                weighted2 += share2 * away2
            out[j] = share
            plain += share
            weighted += share * away
        totals[0, 0] += plain
        totals[0, 1] += weighted
        totals[1, 0] += plain2
        totals[1, 1] += weighted2


@njit(fastmath=REORDER, **INNER)
def _gather(grad, shares, through, pitch, columns, maximum, dx):
    """Compute the gradient of x: the part that does not go to the windows' values, and the part that comes through the windows."""
    windows = shares.shape[0]
    for i in range(dx.shape[0] // columns):
        g, out = _row(grad, columns, columns, i), _row(dx, columns, columns, i)
        share, back = _row(shares[0], pitch, columns, i), _row(through[0], pitch, columns, i)
        share2 = _row(shares[windows - 1], pitch, columns, i)
        back2 = _row(through[windows - 1], pitch, columns, i)
        for j in range(columns):
            value = g[j] - share[j] + back[j]
            if windows == 2:
                value += back2[j]
                if maximum:
                    value -= share2[j]
            out[j] = value


@njit(fastmath=REORDER, **INNER)
def _norm_sums(grad, u, centre, columns, totals):
    """Add to ``totals`` the sum of the gradients of a plane, and the sum of their products with the distance from the centre."""
    for i in range(grad.shape[0] // columns):
        g, row = _row(grad, columns, columns, i), _row(u, columns, columns, i)
        plain = grad.dtype.type(0)
        weighted = grad.dtype.type(0)
        for j in range(columns):
            plain += g[j]
            weighted += g[j] * (row[j] - centre)
        totals[0] += plain
        totals[1] += weighted


@njit(fastmath=REORDER, **INNER)
def _finish_norm(totals, count, k, c, norm, mode, gradients):
    """Write the gradients of bias, scale and shift, and return what a batch norm subtracts: a constant, and a factor of the distance.

    ``totals`` has the sum of the gradients of the norm's output, and that of their products with the distance from the centre.
    """
    kind = gradients.dtype.type
    spread = norm[SPREAD]
    # A shift of all values of a channel does not change the output of a batch norm.
    gradients[GRADIENTS * k + BIAS, c] = 0 if mode == BATCH_NORM else totals[0] * norm[SCALE]
    gradients[GRADIENTS * k + GAMMA, c] = totals[1] * spread
    gradients[GRADIENTS * k + BETA, c] = totals[0]
    if mode != BATCH_NORM:
        return kind(0), kind(0)
    return kind(totals[0] / count), kind(totals[1] / count * spread * spread)


@njit(fastmath=REORDER, **INNER)
def _norm_gradient(grad, pitch, u, norm, less, columns, out, pitch_of_out):
    """Compute the gradient of the input of a norm. ``less`` is the result of :func:`_finish_norm`; ``out`` may be ``grad``."""
    centre, scale, (constant, multiple) = norm[CENTRE], norm[SCALE], less
    for i in range((grad.shape[0] - columns) // pitch + 1):
        g, row = _row(grad, pitch, columns, i), _row(u, pitch, columns, i)
        target = _row(out, pitch_of_out, columns, i)
        for j in range(columns):
            target[j] = scale * (g[j] - constant - (row[j] - centre) * multiple)


@njit(fastmath=REORDER, **INNER)
def _backward_channels(
    start, stop, us, taps, steps, halo, columns, maximum, table, eps, modes, grad, dx, dus, dtaps, gradients, workspace
):  # fmt: skip
    images, rows = grad.shape[0], grad.shape[2] // columns
    windows = 2 if taps[1].shape[0] else 1
    count = images * rows * columns
    pitch = columns + 2 * halo[1]
    first = halo[0] * pitch + halo[1]
    size, size_of_sums = (rows + 2 * halo[0]) * pitch, (rows - 1) * pitch + columns
    with_halo = workspace[: (images + 1) * size].reshape(images + 1, size)
    with_halo[:] = 0
    padded, dsums = with_halo[:images], with_halo[images]
    others = workspace[(images + 1) * size :][: 2 * images * windows * size_of_sums]
    others = others.reshape(2, images, windows, size_of_sums)
    sums, shares = others[0], others[1]
    norms = np.empty((NORMS, 5), grad.dtype)
    totals = np.empty((2, 2), np.float64)
    for c in range(start, stop):
        for k in range(NORMS):
            _load_norm(table, k, c, eps, modes, norms)
        totals[:] = 0
        for n in range(images):
            inside = padded[n][first:]
            _put_branches(us, n, c, norms, inside, pitch, columns)
            for k in range(windows):
                _window(padded[n], halo, pitch, taps[k][c], steps[k], sums[n, k])
            _share_out(
                inside, pitch, sums[n], norms, maximum, columns, grad[n, c], shares[n], totals
            )
        for k in range(windows):
            less = _finish_norm(totals[k], count, k, c, norms[k], modes[k], gradients)
            turned = taps[k][c, ::-1, ::-1].copy()
            of_taps = np.zeros(turned.shape, np.float64)
            for n in range(images):
                _norm_gradient(
                    shares[n, k], pitch, sums[n, k], norms[k], less, columns, dsums[first:], pitch
                )
                _correlate(padded[n], halo, pitch, steps[k], dsums, of_taps)
                # The sums are not needed any more, so the gradient through the window takes their place.
                _window(dsums, halo, pitch, turned, steps[k], sums[n, k])
            dtaps[k][c] = of_taps
        for n in range(images):
            _gather(grad[n, c], shares[n], sums[n], pitch, columns, maximum, dx[n, c])
        for k in (BRANCH + 1, BRANCH):  # dx may be the gradient of the first branch
            u, du = us[k - BRANCH], dus[k - BRANCH]
            if modes[k] == NO_NORM:
                continue
            totals[:] = 0
            for n in range(images):
                _norm_sums(dx[n, c], u[n, c], norms[k, CENTRE], columns, totals[0])
            less = _finish_norm(totals[0], count, k, c, norms[k], modes[k], gradients)
            for n in range(images):
                _norm_gradient(
                    dx[n, c], columns, u[n, c], norms[k], less, columns, du[n, c], columns
                )


@njit(parallel=True, nogil=True, cache=True)
def backward(
    us, taps, steps, halo, columns, maximum, table, eps, modes, grad, dx, dus, dtaps, gradients, workspace
):  # fmt: skip
    """Compute the gradients of the branches, of the windows, and of the norms of both.

    Args:
        us: As in :func:`forward`.
        taps: As there.
        steps: As there.
        halo: As there.
        columns: As there.
        maximum: As there.
        table: As there, but mean and variance of every batch norm are inputs.
        eps: As in :func:`forward`.
        modes: As there.
        grad: Gradient of y, (N, C, H * W).
        dx: Output: gradient of x, (N, C, H * W).
        dus: Output: gradients of the branches. That of a branch without norm is ``dx``, and that of the first may be.
        dtaps: Output: gradients of the windows.
        gradients: Output: gradients of bias, scale and shift, (12, C), of each norm.
        workspace: One row for each thread; :class:`.backend.NumbaFunnelPlan` computes its size.
    """
    channels = grad.shape[1]
    threads = workspace.shape[0]
    for thread in prange(threads):
        _backward_channels(
            thread * channels // threads, (thread + 1) * channels // threads,
            us, taps, steps, halo, columns, maximum, table, eps, modes,
            grad, dx, dus, dtaps, gradients, workspace[thread],
        )  # fmt: skip
