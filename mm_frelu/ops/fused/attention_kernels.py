"""Triton kernels of the piecewise linear map of DY-ReLU-C, ``y = pi * max_k(a_k x + b_k)`` with an attention ``pi``.

Forward is one pass (reads x, writes y), and so is backward (reads x and g, writes dx). The coefficients' gradients are sums
over positions, the attention's are sums over channels; :mod:`.crossing` says how both are taken on the way. In NCHW a
program keeps the attention of its positions and goes through channels, in channels_last it keeps the coefficients of its
channels and goes through positions. Arithmetic is in float32. Where pieces are equal the last of them gets the gradient.
"""

import triton
import triton.language as tl

from .crossing import SIZES, locate, rows_of_step, store_along_rows, store_down_columns
from .piecewise_kernels import best_of, gradient_of, load_coefficients


@triton.jit
def _coefficients(
    pointer, image, images, channel, channels, K: tl.constexpr, SHARED: tl.constexpr
):  # fmt: skip
    number = image + 0 * channel if SHARED else image * channels + channel
    count = images if SHARED else images * channels
    return load_coefficients(pointer, number, channel < channels, count, K)


@triton.jit
def _attention(pointer, image, position, positions):
    there = position < positions
    return tl.load(pointer + image * positions + position, mask=there, other=0.0).to(tl.float32)


@triton.jit(do_not_specialize=(*SIZES, 'images'))
def attended_kernel(
    x, y, slopes, intercepts, attention, images, rows, columns, steps, blocks, chunks,
    K: tl.constexpr, SHARED: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Compute y.

    Args:
        slopes, intercepts: Of shape (K, N, C), or (K, N) where the channels share them; intercepts may be None.
        attention: Of shape (N, positions).
    """
    image, block, chunk, column = locate(blocks, chunks, columns, B)
    if CHANNELS_LAST:
        a = _coefficients(slopes, image, images, column, columns, K, SHARED)
        b = _coefficients(intercepts, image, images, column, columns, K, SHARED)
    else:
        pi = _attention(attention, image, column, columns)
    for step in range(steps):
        row = rows_of_step(chunk, steps, step, A)
        if CHANNELS_LAST:
            pi = _attention(attention, image, row, rows)
        else:
            a = _coefficients(slopes, image, images, row, rows, K, SHARED)
            b = _coefficients(intercepts, image, images, row, rows, K, SHARED)
        where = (image * rows + row) * columns + column
        inside = (row < rows) & (column < columns)
        value = tl.load(x + where, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + where, (best_of(value, a, b, K) * pi).to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=(*SIZES, 'images'))
def attended_gradient_kernel(
    x, grad, dx, of_coefficients, of_attention, slopes, intercepts, attention,
    images, rows, columns, steps, blocks, chunks,
    K: tl.constexpr, SHARED: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Gradients of x and, in parts, of the coefficients (slopes before intercepts) and of the attention.

    ``of_coefficients`` and ``of_attention`` are rooms of :meth:`.Crossing.parts`.
    """
    NUMBERS: tl.constexpr = K if intercepts is None else 2 * K
    image, block, chunk, column = locate(blocks, chunks, columns, B)
    if CHANNELS_LAST:
        a = _coefficients(slopes, image, images, column, columns, K, SHARED)
        b = _coefficients(intercepts, image, images, column, columns, K, SHARED)
        totals = (tl.zeros((A, B), tl.float32),) * NUMBERS
    else:
        pi = _attention(attention, image, column, columns)
        total = tl.zeros((A, B), tl.float32)
    for step in range(steps):
        row = rows_of_step(chunk, steps, step, A)
        if CHANNELS_LAST:
            pi = _attention(attention, image, row, rows)
        else:
            a = _coefficients(slopes, image, images, row, rows, K, SHARED)
            b = _coefficients(intercepts, image, images, row, rows, K, SHARED)
        where = (image * rows + row) * columns + column
        inside = (row < rows) & (column < columns)
        value = tl.load(x + where, mask=inside, other=0.0).to(tl.float32)
        gradient = tl.load(grad + where, mask=inside, other=0.0).to(tl.float32)
        best, slope, shares = gradient_of(value, gradient * pi, a, b, K, intercepts is not None)
        tl.store(dx + where, (gradient * pi * slope).to(dx.dtype.element_ty), mask=inside)
        if CHANNELS_LAST:
            sums = ()
            for index in tl.static_range(NUMBERS):
                sums = sums + (totals[index] + shares[index],)
            totals = sums
            store_along_rows(of_attention, gradient * best, 0, 1, image, row, block, rows, blocks)
        else:
            for index in tl.static_range(NUMBERS):
                store_along_rows(
                    of_coefficients, shares[index], index, NUMBERS, image, row, block, rows, blocks
                )
            total += gradient * best
    if CHANNELS_LAST:
        for index in tl.static_range(NUMBERS):
            store_down_columns(
                of_coefficients, totals[index], index, NUMBERS,
                image, column, chunk, columns, chunks,
            )  # fmt: skip
    else:
        store_down_columns(of_attention, total, 0, 1, image, column, chunk, columns, chunks)
