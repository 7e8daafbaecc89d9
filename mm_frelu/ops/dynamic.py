r"""Specifications of DY-ReLU without their tensors, and how torch's operators compute it with less memory.

==========================  ==================================  ======================
specification               row                                 outputs
==========================  ==================================  ======================
:class:`PiecewiseSpec`      x, slopes, intercepts, attention    y
:class:`PoolSpec`           x                                   x, means
:class:`ProjectSpec`        x, weight                           x, means, projection
==========================  ==================================  ======================

Autograd would save every :math:`a_k x + b_k` and their maximum. The plans save the row and recompute the pieces.

Pooling also returns x, which the layer uses afterwards. The gradient of a mean in autograd is a tensor of the size of x. It is
written, and then added to the gradient from the other use of x, which takes one write, two reads and another write. If x passes
through the function that pools it, backward gets this other gradient and adds one number per channel, which takes one read and
one write.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from . import eager, recompute
from .autograd import Outputs, Plan
from .modules import has_hooks
from .spec import Row, accurate

Gradients = List[Optional[Tensor]]


@dataclass(frozen=True)
class DynamicSpec:
    """Base class of the specifications. There are no norms, and the row is saved for backward."""

    norms: ClassVar[Tuple] = ()
    statistics: ClassVar[int] = 0

    def saved(self, row: Row, statistics: Sequence[Tensor]) -> List[Optional[Tensor]]:
        """Return the row to save for backward."""
        return list(row)


@dataclass(frozen=True)
class PiecewiseSpec(DynamicSpec):
    r"""Piecewise linear map, :math:`y = \pi \max_k (a^k x + b^k)`, see :func:`.eager.piecewise_max`.

    Attributes:
        pieces: K, the number of linear pieces.
    """

    pieces: int

    def numbers(self) -> Tuple[List[int], List[float]]:
        """Encode the specification as integers and floats for an operator of a compiled graph; see :meth:`of_numbers`."""
        return [self.pieces], []

    @classmethod
    def of_numbers(cls, integers: Sequence[int], floats: Sequence[float]) -> 'PiecewiseSpec':
        """Decode the result of :meth:`numbers`."""
        return cls(*integers)

    def compute(self, row: Row) -> Outputs:
        """Compute the activated features op by op, for autograd."""
        return (eager.piecewise_max(*row),)

    def outputs_like(self, row: Row) -> Tuple[List[Tensor], List[Tensor]]:
        """Return empty tensors with the shapes of the outputs."""
        return [torch.empty_like(row[0])], []

    def unsupported_reason(self, row: Row) -> Optional[str]:
        """Return why the tensors do not match the specification, or None. Backends rely on the shapes."""
        x, *others = row
        n, c, h, w = x.shape
        width = c if others[0].shape[2:3] == (c,) else 1
        coefficients = (self.pieces, n, width, 1, 1)
        expected = dict(slopes=coefficients, intercepts=coefficients, attention=(n, 1, h, w))
        for (name, shape), values in zip(expected.items(), others):
            if values is not None:
                reason = _difference(name, values, shape, x.dtype, x.device)
                if reason is not None:
                    return reason
        return None


@dataclass(frozen=True)
class PoolSpec(DynamicSpec):
    """Means of the channels."""

    def compute(self, row: Row) -> Outputs:
        """Compute features and means op by op, for autograd."""
        return row[0], eager.pool(row[0])

    def unsupported_reason(self, row: Row) -> Optional[str]:
        """Return None, because there are no tensors except the features."""


@dataclass(frozen=True)
class ProjectSpec(DynamicSpec):
    """Means of the channels, and a 1x1 convolution to one channel without bias.

    Attributes:
        dtype: Type in which the convolution computes: that of the input, or that of autocast.
    """

    dtype: torch.dtype

    def compute(self, row: Row) -> Outputs:
        """Compute features, means and projection op by op, for autograd."""
        x, weight = row
        projection = eager.project(x.to(self.dtype), weight.to(self.dtype))
        return x, eager.pool(x), projection

    def unsupported_reason(self, row: Row) -> Optional[str]:
        """Return why the weight does not match the specification, or None."""
        x, weight = row
        return _difference('weight', weight, (1, x.shape[1], 1, 1), weight.dtype, x.device)


def _difference(
    name: str, values: Tensor, shape: Tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Optional[str]:
    expected = f'{tuple(shape)}, {dtype}, on {device}'
    found = f'{tuple(values.shape)}, {values.dtype}, on {values.device}'
    return None if found == expected else f'{name}: expected {expected}; found {found}'


def is_plain_projection(conv: nn.Module) -> bool:
    """Whether a module is a 1x1 convolution to one channel without bias and without user modifications."""
    # Not isinstance: a subclass, such as a parametrized layer, may compute something else.
    return (
        type(conv) is nn.Conv2d
        and not has_hooks(conv)
        and (conv.out_channels, conv.kernel_size, conv.stride) == (1, (1, 1), (1, 1))
        and conv.padding in ((0, 0), 'same', 'valid')
        and conv.bias is None
    )


# --- plans of the backend 'recompute' ----------------------------------------------------------------------------------


class RecomputePiecewisePlan(Plan):
    """Plan that computes the running maximum over the pieces, times the attention.

    On a CPU, forward and backward process blocks of channels, so that each value is read from memory once.
    """

    def __init__(self, spec: Any, row: Row) -> None:
        super().__init__(spec, row)
        self._blocks = recompute.channel_blocks(row[0])

    def forward(self, row: Row, *_: bool, **__: bool) -> Tuple[Outputs, List[Tensor]]:
        """Compute y."""
        x, slopes, intercepts, attention = row

        def compute(channels: slice) -> recompute.Results:
            out = _maximum(x[:, channels], _pieces(slopes, intercepts, channels))
            return [out if attention is None else out.mul_(attention)], []

        (out,) = recompute.in_blocks(self._blocks, x, compute)[0]
        return (out,), []

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> Gradients:
        """Compute the gradients of x, slopes, intercepts and attention."""
        x, slopes, intercepts, attention = row
        grad = _laid_out_as(x, grads[0])
        of_attention: List[Any] = []  # one sum over the channels of each block

        def compute(channels: slice) -> recompute.Results:
            pieces = _pieces(slopes, intercepts, channels)
            dx, totals, part = _gradients(x[:, channels], grad[:, channels], pieces, attention)
            of_attention.append(part)
            return [dx], [totals]

        (dx,), (totals,) = recompute.in_blocks(self._blocks, x, compute)
        totals = totals.permute(2, 1, 0)[..., None, None]  # to (numbers, N, C, 1, 1)
        if slopes.shape[2] == 1:
            totals = totals.sum(dim=2, keepdim=True)
        totals = totals.to(slopes.dtype)
        return [
            dx,
            totals[: len(slopes)],
            None if intercepts is None else totals[len(slopes) :],
            None if attention is None else sum(of_attention).to(attention.dtype),
        ]


def _laid_out_as(x: Tensor, grad: Tensor) -> Tensor:
    """Return a gradient with the memory layout of ``x``, so that the gradient of x gets this layout."""
    return grad if grad.stride() == x.stride() else torch.empty_like(x).copy_(grad)


Piece = Tuple[Tensor, ...]
"""Slope and, if there is one, intercept."""


def _pieces(slopes: Tensor, intercepts: Optional[Tensor], channels: slice) -> List[Piece]:
    kinds = [slopes] if intercepts is None else [slopes, intercepts]
    if slopes.shape[2] > 1:
        kinds = [kind[:, :, channels] for kind in kinds]
    return list(zip(*(kind.unbind() for kind in kinds)))


def _line(x: Tensor, slope: Tensor, intercept: Optional[Tensor] = None) -> Tensor:
    if intercept is None:
        return x * slope
    if x.device.type == 'cpu':
        # On a CPU addcmul takes several times as long to add one number per channel.
        return (x * slope).add_(intercept)
    return torch.addcmul(intercept, x, slope)


def _maximum(x: Tensor, pieces: Sequence[Piece]) -> Tensor:
    return reduce(torch.maximum, (_line(x, *piece) for piece in pieces))


def _gradients(
    x: Tensor, grad: Tensor, pieces: Sequence[Piece], attention: Optional[Tensor]
) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
    """Compute the gradients of x, of slopes and then intercepts (channels, N, numbers), and a part of the attention's gradient."""
    best, wins = _compare(x, pieces)
    exact = accurate(x.dtype)
    of_attention = None
    if attention is not None:
        of_attention = (grad * best).sum(dim=1, keepdim=True, dtype=exact)
        grad = grad * attention
    shares = _share_out(grad, wins)
    dx: Any = None
    totals: List[Tensor] = []
    for share, (slope, *_) in zip(shares, pieces):
        dx = share * slope if dx is None else torch.addcmul(dx, share, slope)
        totals.append((share * x).sum(dim=(2, 3), dtype=exact))
    if len(pieces[0]) > 1:
        totals += [share.sum(dim=(2, 3), dtype=exact) for share in shares]
    return dx, torch.stack(totals, dim=-1).transpose(0, 1), of_attention


def _compare(x: Tensor, pieces: Sequence[Piece]) -> Tuple[Tensor, List[Tensor]]:
    """Return the maximum; and for each piece except the first, where it is at least as large as all earlier ones.

    The latter are ones and zeros of the type of x, because on a CPU multiplication is much faster than selection by booleans.
    """
    first, *others = pieces
    best, wins = _line(x, *first), []
    for piece in others:
        line = _line(x, *piece)
        wins.append(torch.ge(line, best, out=torch.empty_like(best)))
        best = torch.maximum(line, best)
    return best, wins


def _share_out(grad: Tensor, wins: Sequence[Tensor]) -> List[Tensor]:
    """Return the part of the gradient of each piece: the last one that reaches the maximum gets everything."""
    shares = []
    for won in reversed(wins):
        shares.append(grad * won)
        grad = grad - shares[-1]
    return [grad, *reversed(shares)]


class RecomputePoolPlan(Plan):
    """Plan for the channel means, with or without a projection. Backward adds their gradients to that of x."""

    def forward(self, row: Row, *_: bool, **__: bool) -> Tuple[Outputs, List[Tensor]]:
        """Return x, its means and its projection."""
        return self.spec.compute(row), []

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> Gradients:
        """Compute the gradients of x and of the weight."""
        x, *weights = row
        grad, of_means, *of_logits = grads
        if of_means is not None:
            share = (of_means / (x.shape[2] * x.shape[3]))[:, :, None, None]
            grad = share.expand(x.shape) if grad is None else grad + share
        if not weights or of_logits[0] is None:
            return [grad, *(None for _ in weights)]
        (weight,), (logits,) = weights, of_logits
        part = weight.to(logits.dtype) * logits
        dx = part if grad is None else grad + part
        of_weight = torch.einsum('nchw,nohw->oc', x.to(logits.dtype), logits)
        return [dx.to(x.dtype), of_weight.view(weight.shape).to(weight.dtype)]


recompute.PLANS.update(
    {
        PiecewiseSpec: RecomputePiecewisePlan,
        PoolSpec: RecomputePoolPlan,
        ProjectSpec: RecomputePoolPlan,
    }
)
