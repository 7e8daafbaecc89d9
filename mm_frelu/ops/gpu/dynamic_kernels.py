r"""Triton kernels of DY-ReLU: the piecewise linear map :math:`y = \pi \max_k (a^k x + b^k)`, and the pooling before it.

The kernels process a feature map as one matrix per image, in memory order: in NCHW, rows are channels and columns are positions; in
channels_last, rows are positions and columns are channels. A program has a tensor of shape (A, B), A rows and B columns, and steps
down ``steps`` of them. Each direction of each operation is one pass. Backward of pooling also reads x, for the gradient of the
projection's weight.

Sums along a row (in NCHW, the means and the gradients of the coefficients; in channels_last, the projection and the gradient of
the attention) are complete after each step, except for the other blocks of columns. Sums down a column stay in registers until the
end, and are complete except for the other chunks of rows. Both are stored in parts, and :func:`finish_kernel` adds the parts up,
always in the same order.

Arithmetic is in float32. If several pieces are equal, the last of them gets the gradient. All sizes are arguments, so one kernel
serves all shapes. The number of columns is given in units of V, so that Triton can load V columns at once.
"""

import triton
import triton.language as tl


@triton.jit
def _locate(blocks, chunks, B: tl.constexpr):
    """Return the position of this program: image, block of columns, chunk of rows, and its columns, of shape (1, B)."""
    program = tl.program_id(0)
    block = program // chunks % blocks
    column = block * B + tl.arange(0, B)[None, :]
    return (program // chunks // blocks).to(tl.int64), block, program % chunks, column


@triton.jit
def _rows(chunk, steps, step, A: tl.constexpr):
    """Return the rows of a step, of shape (A, 1)."""
    return (chunk * steps + step) * A + tl.arange(0, A)[:, None]


@triton.jit
def _load(pointer, start, index, count):
    return tl.load(pointer + start + index, mask=index < count, other=0.0).to(tl.float32)


@triton.jit
def _features(pointer, where, inside):
    return tl.load(pointer + where, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store_rows(parts, value, item, items, part, count):
    """Store sums along rows. The parts of an item are adjacent in memory."""
    total = tl.sum(value, axis=1, keep_dims=True)
    tl.store(parts + item * count + part, total, mask=items)


@triton.jit
def _store_columns(parts, value, item, items, part, count):
    """Store sums down columns. The ``count`` items of a part are adjacent in memory."""
    total = tl.sum(value, axis=0, keep_dims=True)
    tl.store(parts + part * count + item, total, mask=items)


@triton.jit
def _coefficients(
    pointer, image, channel, channels, by_piece, by_image, K: tl.constexpr, SHARED: tl.constexpr
):
    """Load one tensor for each piece, of the shape of ``channel``; zeros if the pointer is None."""
    values = ()
    for k in tl.static_range(K):
        if pointer is None:
            values = values + (tl.zeros(channel.shape, tl.float32),)
        else:
            # Channels that share the coefficients read those of the first channel.
            index = 0 * channel if SHARED else channel
            start = k * by_piece + image * by_image
            values = values + (_load(pointer, start, index, channels),)
    return values


@triton.jit
def _best(value, a, b, K: tl.constexpr):
    """Return the maximum of the pieces."""
    best = value * a[0] + b[0]
    for k in tl.static_range(1, K):
        best = tl.maximum(best, value * a[k] + b[k], propagate_nan=tl.PropagateNan.ALL)
    return best


@triton.jit
def _gradient(value, gradient, a, b, K: tl.constexpr, INTERCEPTS: tl.constexpr):
    """Return the maximum of the pieces, its slope, and the gradient of each slope and then of each intercept."""
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


@triton.jit
def piecewise_kernel(
    x, slopes, intercepts, attention, y,
    rows, vectors, steps, blocks, chunks, by_piece, by_image,
    K: tl.constexpr, SHARED: tl.constexpr,
    LAST: tl.constexpr, V: tl.constexpr, A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Compute y.

    Args:
        slopes, intercepts: The coefficient of piece k in image n is at ``k * by_piece + n * by_image``, plus the index of the
            channel unless the channels share it (SHARED). Intercepts may be None.
        attention: Of shape (N, positions), or None.
        rows, vectors: Size of the matrix of an image, with the columns in units of V.
        steps, blocks, chunks: Steps of a program, blocks of columns, chunks of rows.
        LAST: Whether the columns are channels, as in channels_last.
    """
    columns = vectors * V
    image, block, chunk, column = _locate(blocks, chunks, B)
    if LAST or SHARED:
        a = _coefficients(slopes, image, column, columns, by_piece, by_image, K, SHARED)
        b = _coefficients(intercepts, image, column, columns, by_piece, by_image, K, SHARED)
    if attention is not None and not LAST:
        pi = _load(attention, image * columns, column, columns)
    for step in range(steps):
        row = _rows(chunk, steps, step, A)
        if not (LAST or SHARED):
            a = _coefficients(slopes, image, row, rows, by_piece, by_image, K, SHARED)
            b = _coefficients(intercepts, image, row, rows, by_piece, by_image, K, SHARED)
        if attention is not None and LAST:
            pi = _load(attention, image * rows, row, rows)
        where = (image * rows + row) * columns + column
        inside = (row < rows) & (column < columns)
        best = _best(_features(x, where, inside), a, b, K)
        if attention is not None:
            best = best * pi
        tl.store(y + where, best.to(y.dtype.element_ty), mask=inside)


@triton.jit
def piecewise_gradient_kernel(
    x, grad, slopes, intercepts, attention, dx, of_coefficients, of_attention,
    images, rows, vectors, steps, blocks, chunks, by_piece, by_image,
    K: tl.constexpr, SHARED: tl.constexpr,
    LAST: tl.constexpr, V: tl.constexpr, A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of x, and parts of the gradients of the coefficients (slopes before intercepts) and the attention."""
    NUMBERS: tl.constexpr = K if intercepts is None else 2 * K
    columns = vectors * V
    image, block, chunk, column = _locate(blocks, chunks, B)
    if LAST or SHARED:
        a = _coefficients(slopes, image, column, columns, by_piece, by_image, K, SHARED)
        b = _coefficients(intercepts, image, column, columns, by_piece, by_image, K, SHARED)
        totals = (tl.zeros((A, B), tl.float32),) * NUMBERS
    if attention is not None and not LAST:
        pi = _load(attention, image * columns, column, columns)
        total = tl.zeros((A, B), tl.float32)
    for step in range(steps):
        row = _rows(chunk, steps, step, A)
        if not (LAST or SHARED):
            a = _coefficients(slopes, image, row, rows, by_piece, by_image, K, SHARED)
            b = _coefficients(intercepts, image, row, rows, by_piece, by_image, K, SHARED)
        if attention is not None and LAST:
            pi = _load(attention, image * rows, row, rows)
        where = (image * rows + row) * columns + column
        inside = (row < rows) & (column < columns)
        value = _features(x, where, inside)
        gradient = _features(grad, where, inside)
        scaled = gradient
        if attention is not None:
            scaled = gradient * pi
        best, slope, shares = _gradient(value, scaled, a, b, K, intercepts is not None)
        tl.store(dx + where, (scaled * slope).to(dx.dtype.element_ty), mask=inside)
        if LAST or SHARED:
            sums = ()
            for index in tl.static_range(NUMBERS):
                sums = sums + (totals[index] + shares[index],)
            totals = sums
        else:
            for index in tl.static_range(NUMBERS):
                item = (index * images + image) * rows + row
                _store_rows(of_coefficients, shares[index], item, row < rows, block, blocks)
        if attention is not None:
            if LAST:
                item = image * rows + row
                _store_rows(of_attention, gradient * best, item, row < rows, block, blocks)
            else:
                total += gradient * best
    if LAST or SHARED:
        for index in tl.static_range(NUMBERS):
            item = index * images + image
            if SHARED:
                target = of_coefficients + (item * blocks + block) * chunks + chunk
                tl.store(target, tl.sum(totals[index]))
            else:
                count = NUMBERS * images * columns
                item = item * columns + column
                _store_columns(of_coefficients, totals[index], item, column < columns, chunk, count)
    if attention is not None and not LAST:
        item = image * columns + column
        _store_columns(of_attention, total, item, column < columns, chunk, images * columns)


@triton.jit
def pool_kernel(
    x, weight, of_channels, of_positions, images, rows, vectors, steps, blocks, chunks,
    LAST: tl.constexpr, V: tl.constexpr, A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Compute parts of the sums of x over positions and, with a weight, of the weighted x over channels."""
    columns = vectors * V
    image, block, chunk, column = _locate(blocks, chunks, B)
    channels = columns if LAST else rows
    along, down = (of_positions, of_channels) if LAST else (of_channels, of_positions)
    total = tl.zeros((A, B), tl.float32)
    for step in range(steps):
        row = _rows(chunk, steps, step, A)
        where = (image * rows + row) * columns + column
        value = _features(x, where, (row < rows) & (column < columns))
        weighted = value
        if weight is not None:
            weighted = value * _load(weight, 0, column if LAST else row, channels)
        if along is not None:
            item = image * rows + row
            _store_rows(along, weighted if LAST else value, item, row < rows, block, blocks)
        total += value if LAST else weighted
    if down is not None:
        item = image * columns + column
        _store_columns(down, total, item, column < columns, chunk, images * columns)


@triton.jit
def pool_gradient_kernel(
    dx, grad, x, weight, of_means, of_logits, of_weight,
    images, rows, vectors, steps, blocks, chunks, share,
    LAST: tl.constexpr, V: tl.constexpr, A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of x, and parts of the gradient of the weight.

    Args:
        grad: Gradient of x from its other uses, or None.
        x, weight, of_logits, of_weight: None without a projection. ``of_logits`` has the shape (N, positions).
        of_means: Of shape (N, C), or None.
        share: Factor of the gradient of a mean.
    """
    columns = vectors * V
    image, block, chunk, column = _locate(blocks, chunks, B)
    channels, positions = (columns, rows) if LAST else (rows, columns)
    total = tl.zeros((A, B), tl.float32)
    for step in range(steps):
        row = _rows(chunk, steps, step, A)
        channel, position = (column, row) if LAST else (row, column)
        where = (image * rows + row) * columns + column
        inside = (row < rows) & (column < columns)
        gradient = tl.zeros((A, B), tl.float32)
        if grad is not None:
            gradient += _features(grad, where, inside)
        if of_means is not None:
            gradient += _load(of_means, image * channels, channel, channels) * share
        if weight is not None:
            logit = _load(of_logits, image * positions, position, positions)
            gradient += _load(weight, 0, channel, channels) * logit
            product = _features(x, where, inside) * logit
            if LAST:
                total += product
            else:
                part = image * blocks + block
                _store_rows(of_weight, product, row, row < rows, part, images * blocks)
        tl.store(dx + where, gradient.to(dx.dtype.element_ty), mask=inside)
    if weight is not None and LAST:
        part = image * chunks + chunk
        _store_columns(of_weight, total, column, column < columns, part, columns)


@triton.jit
def finish_kernel(
    parts, out, items, count, scale,
    SIDE_BY_SIDE: tl.constexpr, A: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Add up the ``count`` parts of each item, and scale the sum."""
    item = tl.program_id(0).to(tl.int64) * A + tl.arange(0, A)[:, None]
    total = tl.zeros((A, B), tl.float32)
    for start in range(0, count, B):
        part = start + tl.arange(0, B)[None, :]
        where = part * items.to(tl.int64) + item if SIDE_BY_SIDE else item * count + part
        total += tl.load(parts + where, mask=(item < items) & (part < count), other=0.0)
    value = tl.sum(total, axis=1, keep_dims=True) * scale
    tl.store(out + item, value.to(out.dtype.element_ty), mask=item < items)
