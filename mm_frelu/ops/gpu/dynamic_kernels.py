r"""Triton kernels of DY-ReLU: the piecewise linear map :math:`y = \pi \max_k (a^k x + b^k)`, and what pools its input.

To them a feature map is a matrix for each image, as it lies in memory: rows are channels and columns positions in NCHW, the
other way round in channels_last. A program holds a tensor of shape (A, B), A rows and B columns, and goes down ``steps`` of
them. Each direction of each operation is one pass; backward of pooling reads x for the gradient of the projection's weight,
which needs the gradients of all positions.

Sums along a row (of coefficients' gradients and means in NCHW, of the attention's gradient and the projection in channels_last)
are complete after a step, but for the other blocks of columns; sums down a column stay in registers to the end, and lack the
other chunks of rows. Both are written in parts, and :func:`finish_kernel` adds these up, always in the same order.

Arithmetic is in float32. Where pieces are equal the last of them gets the gradient. All sizes are arguments, so that a kernel
serves every shape; the columns come in units of V, which is how Triton knows that V of them can be loaded at once.
"""

import triton
import triton.language as tl


@triton.jit
def _locate(blocks, chunks, B: tl.constexpr):
    """Where this program is: image, block of columns, chunk of rows, and its columns, of shape (1, B)."""
    program = tl.program_id(0)
    block = program // chunks % blocks
    column = block * B + tl.arange(0, B)[None, :]
    return (program // chunks // blocks).to(tl.int64), block, program % chunks, column


@triton.jit
def _rows(chunk, steps, step, A: tl.constexpr):
    """The rows of a step, of shape (A, 1)."""
    return (chunk * steps + step) * A + tl.arange(0, A)[:, None]


@triton.jit
def _load(pointer, start, index, count):
    return tl.load(pointer + start + index, mask=index < count, other=0.0).to(tl.float32)


@triton.jit
def _features(pointer, where, inside):
    return tl.load(pointer + where, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store_rows(parts, value, item, items, part, count):
    """Store sums along rows; the parts of an item lie side by side."""
    total = tl.sum(value, axis=1, keep_dims=True)
    tl.store(parts + item * count + part, total, mask=items)


@triton.jit
def _store_columns(parts, value, item, items, part, count):
    """Store sums down columns; the items of a part lie side by side, ``count`` of them."""
    total = tl.sum(value, axis=0, keep_dims=True)
    tl.store(parts + part * count + item, total, mask=items)


@triton.jit
def _coefficients(
    pointer, image, channel, channels, by_piece, by_image, K: tl.constexpr, SHARED: tl.constexpr
):
    """One tensor per piece, of the shape of ``channel``; zeros where there are none."""
    values = ()
    for k in tl.static_range(K):
        if pointer is None:
            values = values + (tl.zeros(channel.shape, tl.float32),)
        else:
            # Channels that share them read the first one's.
            index = 0 * channel if SHARED else channel
            start = k * by_piece + image * by_image
            values = values + (_load(pointer, start, index, channels),)
    return values


@triton.jit
def _best(value, a, b, K: tl.constexpr):
    """The highest of the pieces."""
    best = value * a[0] + b[0]
    for k in tl.static_range(1, K):
        best = tl.maximum(best, value * a[k] + b[k], propagate_nan=tl.PropagateNan.ALL)
    return best


@triton.jit
def _gradient(value, gradient, a, b, K: tl.constexpr, INTERCEPTS: tl.constexpr):
    """The highest piece; its slope; and what each slope and then each intercept gets of the gradient."""
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
        slopes, intercepts: Piece k of a channel of image n is at ``k * by_piece + n * by_image``, plus the channel's number
            unless they are SHARED by the channels. Intercepts may be None.
        attention: Of shape (N, positions), or None.
        rows, vectors: Size of the matrix of an image; the columns in units of V.
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
    """Gradients of x and, in parts, of the coefficients (slopes before intercepts) and of the attention."""
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
    """Sums of x over positions and, with a weight, of the weighted x over channels; both in parts."""
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
    """The gradient of x and, in parts, of the weight.

    Args:
        grad: What x gets from elsewhere, or None.
        x, weight, of_logits, of_weight: None without a projection. ``of_logits`` has the shape (N, positions).
        of_means: Of shape (N, C), or None.
        share: What a mean's gradient is multiplied with.
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
