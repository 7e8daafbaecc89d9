"""Run DY-ReLU with the kernels of :mod:`.dynamic_kernels`. Forward and backward of each operation are one pass each."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ..autograd import Outputs, Plan
from ..dynamic import PiecewiseSpec
from ..spec import Row
from .dynamic_kernels import (
    finish_kernel,
    piecewise_gradient_kernel,
    piecewise_kernel,
    pool_gradient_kernel,
    pool_kernel,
)
from .launch import TYPES, Launch, is_channels_last, laid_out_as, wide

MAX_PIECES = 8
"""The sums of backward for more pieces do not fit into registers."""
VALUES = 2048
"""Values that a program processes at a time: 16 for each thread, which is enough to hide the latency of memory."""
WIDTHS = (8, 4, 1)
"""Numbers of columns that may be loaded at once. A thread can load at most 8 in half precision."""
BLOCKS = {False: (64, 256), True: (16, 64)}
"""Columns of a program, in NCHW and in channels_last. In channels_last every column has its own sums."""
WIDEST = 1024
"""Columns of a program in NCHW that only computes sums in both directions, for fewer parts of sums along rows."""
PROGRAMS = 1024
"""Programs that fill a GPU with 132 multiprocessors. Further work goes into steps, for fewer parts of sums."""
MIN_ROWS = 32
"""Minimum number of rows that a program adds up. The parts of the sums then take about a thirtieth of the features' memory."""


def unsupported_reason(spec: Any, row: Row) -> Optional[str]:
    """Return why the kernels do not support a specification of DY-ReLU, or None if they do."""
    x = row[0]
    for tensor in row:
        if tensor is not None and tensor.dtype not in TYPES:
            return (
                f'a tensor is {tensor.dtype}, but the kernels support float32, float16 and bfloat16'
            )
    if x.shape[1] * x.shape[2] * x.shape[3] >= 2**31:
        return 'one image has 2**31 values or more'
    if type(spec) is PiecewiseSpec and spec.pieces > MAX_PIECES:
        return f'there are {spec.pieces} pieces, but the kernels support up to {MAX_PIECES}'
    return None


class Cut(NamedTuple):
    """Division of a feature map among programs, see :mod:`.dynamic_kernels`.

    It depends only on the shape, not on measurements, so that sums are always computed in the same order.
    """

    images: int
    rows: int
    vectors: int
    steps: int
    blocks: int
    chunks: int
    constants: dict

    @classmethod
    def of(cls, x: Tensor, is_wide: bool = False) -> 'Cut':
        """Divide features of shape (N, C, H, W)."""
        n, c, h, w = x.shape
        last = is_channels_last(x)
        rows, columns = (h * w, c) if last else (c, h * w)
        v = next(width for width in WIDTHS if columns % width == 0)
        choices = (*BLOCKS[last], WIDEST) if is_wide and not last else BLOCKS[last]
        # The widest choice with at most a quarter of idle columns.
        b = max(choices, key=lambda b: (min(columns / (-(-columns // b) * b or 1), 0.75), b))
        a = max(VALUES // b, 4)
        blocks, groups = -(-columns // b), -(-rows // a)
        steps = max(min(max(MIN_ROWS // a, n * blocks * groups // PROGRAMS), groups), 1)
        constants = dict(LAST=last, V=v, A=a, B=b)
        return cls(n, rows, columns // v, steps, blocks, -(-groups // steps), constants)

    def launch(self, kernel: Any, *wide: str, **constants: Any) -> Launch:
        """Return a kernel for features with this division."""
        programs = self.images * self.blocks * self.chunks
        return Launch(kernel, (programs,), wide, **constants, **self.constants)

    def finish(self, sums_rows: bool, items: int, count: Optional[int] = None) -> 'Finish':
        """Return the kernel that adds up parts of sums.

        Args:
            sums_rows: Whether the sums are along rows; otherwise down columns.
            items: Number of sums.
            count: Number of parts of each sum. None for the number of parts within one image.
        """
        return Finish(items, count or (self.blocks if sums_rows else self.chunks), not sums_rows)


class Finish:
    """Add up parts of sums.

    Args:
        items: Number of sums.
        count: Parts of each.
        side_by_side: Whether the items of one part are adjacent in memory; otherwise the parts of one item are.
    """

    def __init__(self, items: int, count: int, side_by_side: bool) -> None:
        self.items, self.count = items, count
        b = 8 if count <= 16 else 128  # parts at a time
        a = 1024 // b
        constants: Dict[str, Any] = dict(SIDE_BY_SIDE=side_by_side, A=a, B=b)
        self._launch = Launch(finish_kernel, (-(-items // a),), **constants)

    def parts(self, x: Tensor) -> Tensor:
        """Return memory for the parts, on the device of ``x``."""
        return x.new_empty(self.items * self.count, dtype=torch.float32)

    def __call__(self, parts: Tensor, out: Tensor, scale: float = 1.0) -> Tensor:
        """Add the parts up into ``out``."""
        self._launch(parts, out, self.items, self.count, scale)
        return out


class TritonPiecewisePlan(Plan):
    """Plan that computes a :class:`.PiecewiseSpec`."""

    def __init__(self, spec: PiecewiseSpec, row: Row) -> None:
        super().__init__(spec, row)
        x, slopes, intercepts, _ = row
        self._cut = cut = Cut.of(x)
        self._numbers = spec.pieces if intercepts is None else 2 * spec.pieces
        shared = slopes.shape[2] == 1 and x.shape[1] > 1
        last, n, c = cut.constants['LAST'], x.shape[0], x.shape[1]
        kinds = dict(K=spec.pieces, SHARED=shared)
        self._forward = cut.launch(piecewise_kernel, 'x', 'y', **kinds)
        self._backward = cut.launch(piecewise_gradient_kernel, 'x', 'grad', 'dx', **kinds)
        if shared:
            self._coefficients = cut.finish(True, self._numbers * n, cut.blocks * cut.chunks)
        else:
            self._coefficients = cut.finish(not last, self._numbers * n * c)
        self._attention = cut.finish(last, n * x.shape[2] * x.shape[3])

    def forward(self, row: Row, *_: bool, **__: bool) -> Tuple[Outputs, List[Tensor]]:
        """Compute y."""
        x, *others = row
        x = wide(x)
        y = torch.empty_like(x)
        tensors, strides = _readable(*others)
        self._forward(x, *tensors, y, *self._cut[1:6], *strides)
        return (y,), []

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> List[Optional[Tensor]]:
        """Compute the gradients of x, slopes, intercepts and attention."""
        x, slopes, intercepts, attention = row
        x = wide(x)
        dx = torch.empty_like(x)
        parts = self._coefficients.parts(x)
        of_attention: Any = None if attention is None else self._attention.parts(x)
        tensors, strides = _readable(slopes, intercepts, attention)
        self._backward(
            x, laid_out_as(x, grads[0]), *tensors, dx, parts, of_attention, *self._cut[:6], *strides
        )  # fmt: skip
        totals = self._coefficients(parts, slopes.new_empty(self._numbers, *slopes.shape[1:]))
        if attention is not None:
            of_attention = self._attention(of_attention, attention.new_empty(attention.shape))
        of_intercepts = None if intercepts is None else totals[len(slopes) :]
        return [dx, totals[: len(slopes)], of_intercepts, of_attention]


def _readable(
    slopes: Tensor, intercepts: Optional[Tensor], attention: Optional[Tensor]
) -> Tuple[Tuple[Optional[Tensor], ...], Tuple[int, ...]]:
    """Return the tensors in a layout that the kernels support, and the strides of pieces and images in the coefficients."""
    strides = slopes.stride()
    if strides[2] != 1 or (intercepts is not None and intercepts.stride() != strides):
        slopes = slopes.contiguous()
        intercepts = None if intercepts is None else intercepts.contiguous()
        strides = slopes.stride()
    attention = None if attention is None else attention.contiguous()
    return (slopes, intercepts, attention), strides[:2]


class TritonPoolPlan(Plan):
    """Plan that computes the channel means and, for a :class:`.ProjectSpec`, the projection."""

    def __init__(self, spec: Any, row: Row) -> None:
        super().__init__(spec, row)
        x = row[0]
        n, c, h, w = x.shape
        self._cut = cut = Cut.of(x, is_wide=len(row) > 1)
        self._share = 1.0 / max(h * w, 1)
        last = cut.constants['LAST']
        self._forward = cut.launch(pool_kernel, 'x')
        self._means = cut.finish(not last, n * c)
        self._logits = cut.finish(last, n * h * w)
        self._weight = cut.finish(not last, c, n * (cut.chunks if last else cut.blocks))
        # One for each combination of missing gradients.
        self._backward: Dict[Tuple[bool, ...], Launch] = {}

    def forward(self, row: Row, *_: bool, **__: bool) -> Tuple[Outputs, List[Tensor]]:
        """Return x, its means and its projection, which is in float32."""
        x, *weight = row
        features = wide(x)
        means = self._means.parts(x)
        logits: Any = self._logits.parts(x) if weight else None
        factors = weight[0].contiguous() if weight else None
        self._forward(features, factors, means, logits, *self._cut[:6])
        n, c, h, w = x.shape
        outputs: Outputs = x, self._means(means, x.new_empty(n, c), self._share)
        if weight:
            outputs += (self._logits(logits, x.new_empty(n, 1, h, w, dtype=torch.float32)),)
        return outputs, []

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> List[Optional[Tensor]]:
        """Compute the gradients of x and of the weight."""
        x, *weights = row
        grad, of_means, *of_logits = grads
        x = wide(x)
        dx = torch.empty_like(x)
        grad = None if grad is None else laid_out_as(x, grad)
        of_means = None if of_means is None else of_means.contiguous()
        if not weights or of_logits[0] is None:
            self._launch(dx, grad, None, None, of_means, None, None)
            return [dx, *(None for _ in weights)]
        (weight,) = weights
        parts = self._weight.parts(x)
        factors, logits = weight.contiguous(), of_logits[0].contiguous()
        self._launch(dx, grad, x, factors, of_means, logits, parts)
        return [dx, self._weight(parts, weight.new_empty(weight.shape))]

    def _launch(self, *tensors: Optional[Tensor]) -> None:
        """Run the kernel of backward, which depends on the missing gradients."""
        kind = tuple(tensor is None for tensor in tensors)
        if kind not in self._backward:
            self._backward[kind] = self._cut.launch(pool_gradient_kernel, 'dx', 'grad', 'x')
        self._backward[kind](*tensors, *self._cut[:6], self._share)
