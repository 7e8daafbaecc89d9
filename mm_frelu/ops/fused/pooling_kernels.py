"""Triton kernels of what DY-ReLU-C asks its input before it activates it: the channels' means, the attention's logits.

Forward is one pass for both (reads x). Backward is one pass that adds both shares to the gradient from the piecewise map,
``dx += dmean_c / HW + w_c dlogit_i``, and takes the gradient of the weights on the way: it reads that gradient and x, and
writes dx. x is read for the weights alone, ``dw_c = sum_i dlogit_i x_ci``: what dlogit is, is known only when the map's backward
has been through all positions, so none of the earlier passes could do it. Sums are taken as :mod:`.crossing` says, in float32.
"""

import triton
import triton.language as tl

from .crossing import SIZES, locate, rows_of_step, store_along_rows, store_down_columns


@triton.jit
def _load(pointer, number, count, start):
    return tl.load(pointer + start + number, mask=number < count, other=0.0).to(tl.float32)


@triton.jit(do_not_specialize=SIZES)
def pool_kernel(
    x, weight, along_rows, down_columns, rows, columns, steps, blocks, chunks,
    A: tl.constexpr, B: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """Sums of x over positions, and of the weighted x over channels.

    ``along_rows`` and ``down_columns`` are rooms of :meth:`.Crossing.parts`; in NCHW the first is that of the channels.
    """
    image, block, chunk, column = locate(blocks, chunks, columns, B)
    if CHANNELS_LAST:
        of_channel = _load(weight, column, columns, 0)
    total = tl.zeros((A, B), tl.float32)
    for step in range(steps):
        row = rows_of_step(chunk, steps, step, A)
        where = (image * rows + row) * columns + column
        inside = (row < rows) & (column < columns)
        value = tl.load(x + where, mask=inside, other=0.0).to(tl.float32)
        if CHANNELS_LAST:
            along, down = value * of_channel, value
        else:
            along, down = value, value * _load(weight, row, rows, 0)
        store_along_rows(along_rows, along, 0, 1, image, row, block, rows, blocks)
        total += down
    store_down_columns(down_columns, total, 0, 1, image, column, chunk, columns, chunks)


@triton.jit(do_not_specialize=SIZES)
def pool_gradient_kernel(
    grad, x, dx, of_weight, weight, of_means, of_logits, rows, columns, steps, blocks, chunks,
    A: tl.constexpr, B: tl.constexpr, CHANNELS_LAST: tl.constexpr,
):  # fmt: skip
    """The gradient of x, and parts of that of the weights.

    Args:
        grad: What x gets from elsewhere.
        of_weight: Room of :meth:`.Crossing.parts` for the channels.
        of_means: Gradients of the means divided by the number of positions, of shape (N, C).
        of_logits: Of shape (N, positions).
    """
    image, block, chunk, column = locate(blocks, chunks, columns, B)
    if CHANNELS_LAST:
        factor = _load(weight, column, columns, 0)
        mean = _load(of_means, column, columns, image * columns)
        total = tl.zeros((A, B), tl.float32)
    else:
        logit = _load(of_logits, column, columns, image * columns)
    for step in range(steps):
        row = rows_of_step(chunk, steps, step, A)
        if CHANNELS_LAST:
            logit = _load(of_logits, row, rows, image * rows)
        else:
            factor = _load(weight, row, rows, 0)
            mean = _load(of_means, row, rows, image * rows)
        where = (image * rows + row) * columns + column
        inside = (row < rows) & (column < columns)
        gradient = tl.load(grad + where, mask=inside, other=0.0).to(tl.float32)
        value = tl.load(x + where, mask=inside, other=0.0).to(tl.float32)
        gradient += mean + factor * logit
        tl.store(dx + where, gradient.to(dx.dtype.element_ty), mask=inside)
        if CHANNELS_LAST:
            total += value * logit
        else:
            store_along_rows(of_weight, value * logit, 0, 1, image, row, block, rows, blocks)
    if CHANNELS_LAST:
        store_down_columns(of_weight, total, 0, 1, image, column, chunk, columns, chunks)
