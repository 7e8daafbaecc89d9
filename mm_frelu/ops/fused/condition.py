"""The condition of a funnel activation in registers: windows, their norms, and the gradient of their combination.

Two shapes of condition exist: one K x K window (FReLU), or, with ``LIGHT``, a 1 x K and a K x 1 window (LightFReLU). All
arithmetic is in float32. A window's bias never enters the sum over its taps: batch statistics take it out again, and
otherwise it is part of the centre that the norm subtracts.
"""

import triton
import triton.language as tl


@triton.jit
def load_taps(weights, channel, K: tl.constexpr, LIGHT: tl.constexpr):
    """The weights of all windows for each lane's channel, one tensor per tap."""
    taps = ()
    if LIGHT:
        for tap in tl.static_range(K):
            taps = taps + (tl.load(weights[0] + channel * K + tap).to(tl.float32),)
        for tap in tl.static_range(K):
            taps = taps + (tl.load(weights[1] + channel * K + tap).to(tl.float32),)
    else:
        for tap in tl.static_range(K * K):
            taps = taps + (tl.load(weights[0] + channel * K * K + tap).to(tl.float32),)
    return taps


@triton.jit
def load_norm(mean, variance, scale, bias, channel, eps):
    """What a window's norm subtracts, and what it multiplies with.

    Args:
        mean, variance: Pointers to the statistics of the windows' sums; None where there is no norm.
        scale: Pointer to the norm's weight, or None.
        bias: Pointer to the convolution's bias, or None.

    Returns:
        Centre, factor, and the reciprocal of the standard deviation.
    """
    centre = tl.zeros(channel.shape, tl.float32)
    reciprocal = centre + 1.0
    if mean is not None:
        centre = tl.load(mean + channel).to(tl.float32)
        reciprocal = 1.0 / tl.sqrt_rn(tl.load(variance + channel).to(tl.float32) + eps)
    if bias is not None:
        centre -= tl.load(bias + channel).to(tl.float32)
    factor = reciprocal
    if scale is not None:
        factor = reciprocal * tl.load(scale + channel).to(tl.float32)
    return centre, factor, reciprocal


@triton.jit
def load_shift(pointer, channel):
    """The norm's shift, zero if it has none."""
    shift = tl.zeros(channel.shape, tl.float32)
    if pointer is not None:
        shift = tl.load(pointer + channel).to(tl.float32)
    return shift


@triton.jit
def correlate(
    patch, taps,
    FIRST: tl.constexpr, STRIDE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    TAP: tl.constexpr, STEP: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
):  # fmt: skip
    """Slide a window over a patch.

    Args:
        patch: Tuple of pixels, ``STRIDE`` in a row.
        taps: Tuple of weights.
        FIRST: Index in ``patch`` of the first tap of the first output.
        TAP: Index in ``taps`` of the first weight.
        STEP: 1, or -1 for the window turned round, as the gradient of the input needs it.

    Returns:
        ``ROWS * COLUMNS`` sums.
    """
    sums = ()
    for i in tl.static_range(ROWS):
        for j in tl.static_range(COLUMNS):
            total = patch[FIRST + i * STRIDE + j] * taps[TAP]
            for tap in tl.static_range(1, KH * KW):
                total += (
                    patch[FIRST + (i + tap // KW) * STRIDE + j + tap % KW] * taps[TAP + STEP * tap]
                )
            sums = sums + (total,)
    return sums


@triton.jit
def window_sums(
    patch, taps,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, K: tl.constexpr, LIGHT: tl.constexpr,
):  # fmt: skip
    """The windows' sums over a patch with a halo of their radius on all sides, one window after the other."""
    RADIUS: tl.constexpr = K // 2
    STRIDE: tl.constexpr = COLUMNS + 2 * RADIUS
    if LIGHT:
        row = correlate(patch, taps, RADIUS * STRIDE, STRIDE, ROWS, COLUMNS, 0, 1, 1, K)
        return row + correlate(patch, taps, RADIUS, STRIDE, ROWS, COLUMNS, K, 1, K, 1)
    else:
        return correlate(patch, taps, 0, STRIDE, ROWS, COLUMNS, 0, 1, K, K)


@triton.jit
def combine(first, second, MAXIMUM: tl.constexpr):
    """Two conditions to one."""
    if MAXIMUM:
        return tl.maximum(first, second, propagate_nan=tl.PropagateNan.ALL)
    else:
        return first + second


@triton.jit
def share_of_maximum(gradient, mine, other):
    """The part of a maximum's gradient that one side gets: half where both are equal, as ``torch.maximum`` has it."""
    return tl.where(mine == other, 0.5 * gradient, tl.where(mine < other, 0.0, gradient))
