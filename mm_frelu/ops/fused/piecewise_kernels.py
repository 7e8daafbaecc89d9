"""Triton kernels of the piecewise linear map of DY-ReLU, ``y = max_k(a_k x + b_k)``.

Forward is one pass (reads x, writes y), and so is backward (reads x and g, writes dx, adds up the gradients of the
coefficients on the way). x and the coefficients are all that is kept.

A program holds a tensor of shape (A, B). In NCHW, A counts planes (n, c) and B positions in a plane; in channels_last, A
counts positions and B channels of one image. Coefficients differ along one of the two only, so a program loads them once.
Arithmetic is in float32. Where pieces are equal the last of them gets the gradient, as in the eager form.
"""

import triton
import triton.language as tl

SIZES = ('N', 'chunks', 'steps')
"""Arguments whose values Triton shall not build into a kernel. C and S are not among them: loads are wide only where it
knows that these are multiples of 16."""


@triton.jit
def _locate(
    N, C, S, chunks,
    A: tl.constexpr, B: tl.constexpr, SHARED: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Where this program is.

    Returns:
        Offset of its first position for each plane or channel; the index of their coefficients; their number n * C + c;
        which of them exist; and the number of this program's chunk. All are of shape (A, 1) or, in channels_last, (1, B).
    """
    program = tl.program_id(0)
    block = program // chunks
    if CHANNELS_LAST:
        channel_blocks = (C + B - 1) // B
        channel = (block % channel_blocks) * B + tl.arange(0, B)[None, :]
        image = block // channel_blocks
        exists = channel < C
        number = image * C + channel
        coefficient = image + 0 * channel if SHARED else number
        offset = image.to(tl.int64) * S * C + channel
    else:
        number = block * A + tl.arange(0, A)[:, None]
        exists = number < N * C
        coefficient = number // C if SHARED else number
        offset = number.to(tl.int64) * S
    return offset, coefficient, number, exists, program % chunks


@triton.jit
def load_coefficients(pointer, coefficient, exists, count, K: tl.constexpr):
    """One tensor per piece; zeros where there are none."""
    values = ()
    for k in tl.static_range(K):
        if pointer is not None:
            value = tl.load(pointer + k * count + coefficient, mask=exists, other=0.0)
            values = values + (value.to(tl.float32),)
        else:
            values = values + (tl.zeros(coefficient.shape, tl.float32),)
    return values


@triton.jit
def best_of(value, a, b, K: tl.constexpr):
    """The highest of the pieces."""
    best = value * a[0] + b[0]
    for k in tl.static_range(1, K):
        best = tl.maximum(best, value * a[k] + b[k], propagate_nan=tl.PropagateNan.ALL)
    return best


@triton.jit
def gradient_of(value, gradient, a, b, K: tl.constexpr, INTERCEPTS: tl.constexpr):
    """What the gradient of the highest piece is made of.

    Returns:
        The highest piece; its slope; and what each slope and then each intercept gets of the gradient.
    """
    best = value * a[0] + b[0]
    winner = tl.zeros(value.shape, tl.int32)
    slope = a[0] + tl.zeros(value.shape, tl.float32)
    for k in tl.static_range(1, K):
        piece = value * a[k] + b[k]
        wins = piece >= best
        winner = tl.where(wins, k, winner)
        slope = tl.where(wins, a[k], slope)
        best = tl.maximum(best, piece, propagate_nan=tl.PropagateNan.ALL)
    of_slopes = ()
    of_intercepts = ()
    for k in tl.static_range(K):
        share = tl.where(winner == k, gradient, 0.0)
        of_slopes = of_slopes + (share * value,)
        if INTERCEPTS:
            of_intercepts = of_intercepts + (share,)
    return best, slope, of_slopes + of_intercepts


@triton.jit(do_not_specialize=SIZES)
def piecewise_kernel(
    x, y, slopes, intercepts, N, C, S, chunks, steps,
    K: tl.constexpr, SHARED: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Compute y.

    Args:
        slopes, intercepts: Of shape (K, N, C), or (K, N) where the channels share them; intercepts may be None.
        S: Positions of a map.
        chunks: Programs per plane.
        steps: Steps of a program.
    """
    offset, coefficient, number, exists, chunk = _locate(
        N, C, S, chunks, A, B, SHARED, CHANNELS_LAST
    )
    count = N if SHARED else N * C
    a = load_coefficients(slopes, coefficient, exists, count, K)
    b = load_coefficients(intercepts, coefficient, exists, count, K)
    for step in range(steps):
        if CHANNELS_LAST:
            position = (chunk * steps + step) * A + tl.arange(0, A)[:, None]
            where = offset + position * C
        else:
            position = (chunk * steps + step) * B + tl.arange(0, B)[None, :]
            where = offset + position
        inside = exists & (position < S)
        value = tl.load(x + where, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + where, best_of(value, a, b, K).to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=SIZES)
def piecewise_gradient_kernel(
    x, grad, dx, partials, slopes, intercepts, N, C, S, chunks, steps,
    K: tl.constexpr, SHARED: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Gradients of x and, in parts, of the coefficients.

    ``partials`` has the shape (N * C, 2 * K, chunks), slopes before intercepts; without intercepts (N * C, K, chunks).
    """
    NUMBERS: tl.constexpr = K if intercepts is None else 2 * K
    offset, coefficient, number, exists, chunk = _locate(
        N, C, S, chunks, A, B, SHARED, CHANNELS_LAST
    )
    count = N if SHARED else N * C
    a = load_coefficients(slopes, coefficient, exists, count, K)
    b = load_coefficients(intercepts, coefficient, exists, count, K)
    totals = (tl.zeros((A, B), tl.float32),) * NUMBERS
    for step in range(steps):
        if CHANNELS_LAST:
            position = (chunk * steps + step) * A + tl.arange(0, A)[:, None]
            where = offset + position * C
        else:
            position = (chunk * steps + step) * B + tl.arange(0, B)[None, :]
            where = offset + position
        inside = exists & (position < S)
        value = tl.load(x + where, mask=inside, other=0.0).to(tl.float32)
        gradient = tl.load(grad + where, mask=inside, other=0.0).to(tl.float32)
        _, slope, shares = gradient_of(value, gradient, a, b, K, intercepts is not None)
        tl.store(dx + where, (gradient * slope).to(dx.dtype.element_ty), mask=inside)
        sums = ()
        for index in tl.static_range(NUMBERS):
            sums = sums + (totals[index] + shares[index],)
        totals = sums
    for index in tl.static_range(NUMBERS):
        target = partials + (number * NUMBERS + index).to(tl.int64) * chunks + chunk
        total = tl.sum(totals[index], axis=0 if CHANNELS_LAST else 1, keep_dims=True)
        tl.store(target, total, mask=exists)
