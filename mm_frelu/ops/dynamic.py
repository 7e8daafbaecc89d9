r"""What DY-ReLU computes apart from its tensors, and how to compute it with less memory by torch's operators.

==========================  ==================================  ======================
specification               row                                 outputs
==========================  ==================================  ======================
:class:`PiecewiseSpec`      x, slopes, intercepts, attention    y
:class:`PoolSpec`           x                                   x, means
:class:`ProjectSpec`        x, weight                           x, means, projection
==========================  ==================================  ======================

Autograd would keep every :math:`a_k x + b_k`, and their maximum. The plans keep the row, and compute the pieces again.

Pooling gives x back, for a layer to go on with. Autograd's gradient of a mean is a tensor of the size of x, which it writes,
and then adds to the gradient of x from its other use: a write, two reads and a write. Where x passes through the function
that pools it, backward has that other gradient in hand, and adds one number per channel: a read and a write.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from . import eager, recompute
from .autograd import Outputs, Plan
from .spec import Row, accurate, has_hooks

Gradients = List[Optional[Tensor]]


@dataclass(frozen=True)
class DynamicSpec:
    """What the specifications have in common: no norm, and the row is what backward needs."""

    norms: ClassVar[Tuple] = ()
    statistics: ClassVar[int] = 0

    def saved(self, row: Row, statistics: Sequence[Tensor]) -> List[Optional[Tensor]]:
        """The row for backward."""
        return list(row)


@dataclass(frozen=True)
class PiecewiseSpec(DynamicSpec):
    r"""The piecewise linear map, :math:`y = \pi \max_k (a^k x + b^k)`, see :func:`.eager.piecewise_max`.

    Attributes:
        pieces: K, the number of linear pieces.
    """

    pieces: int

    def numbers(self) -> Tuple[List[int], List[float]]:
        """The specification as integers and floats, for an operator of a compiled graph; :meth:`of_numbers` reads them."""
        return [self.pieces], []

    @classmethod
    def of_numbers(cls, integers: Sequence[int], floats: Sequence[float]) -> 'PiecewiseSpec':
        """What :meth:`numbers` wrote."""
        return cls(*integers)

    def compute(self, row: Row) -> Outputs:
        """The activated features op by op, for autograd."""
        return (eager.piecewise_max(*row),)

    def outputs_like(self, row: Row) -> Tuple[List[Tensor], List[Tensor]]:
        """Tensors of the shapes of the outputs, without values."""
        return [torch.empty_like(row[0])], []

    def unsupported_reason(self, row: Row) -> Optional[str]:
        """Why the tensors are not what the specification says. Backends rely on the shapes."""
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
        """Features and means op by op, for autograd."""
        return row[0], eager.pool(row[0])

    def unsupported_reason(self, row: Row) -> Optional[str]:
        """None: there is nothing but the features."""


@dataclass(frozen=True)
class ProjectSpec(DynamicSpec):
    """Means of the channels, and a 1x1 convolution to one channel without bias.

    Attributes:
        dtype: Type that the convolution computes in: that of the input, or what autocast says.
    """

    dtype: torch.dtype

    def compute(self, row: Row) -> Outputs:
        """Features, means and projection op by op, for autograd."""
        x, weight = row
        projection = eager.project(x.to(self.dtype), weight.to(self.dtype))
        return x, eager.pool(x), projection

    def unsupported_reason(self, row: Row) -> Optional[str]:
        """Why the weight is not what the specification says."""
        x, weight = row
        return _difference('weight', weight, (1, x.shape[1], 1, 1), weight.dtype, x.device)


def _difference(
    name: str, values: Tensor, shape: Tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Optional[str]:
    expected = f'{tuple(shape)}, {dtype}, on {device}'
    found = f'{tuple(values.shape)}, {values.dtype}, on {values.device}'
    return None if found == expected else f'{name}: expected {expected}; found {found}'


def is_plain_projection(conv: nn.Module) -> bool:
    """Whether a module is a 1x1 convolution to one channel without bias, and nothing that a user put onto it."""
    # Not isinstance: a subclass, and a parametrized layer is one, may compute something else.
    return (
        type(conv) is nn.Conv2d
        and not has_hooks(conv)
        and (conv.out_channels, conv.kernel_size, conv.stride) == (1, (1, 1), (1, 1))
        and conv.padding in ((0, 0), 'same', 'valid')
        and conv.bias is None
    )


# --- by torch's operators ----------------------------------------------------------------------------------------------


class PiecewisePlan(Plan):
    """The running maximum over the pieces, times the attention.

    On a CPU both directions work through blocks of channels, so that each value goes through memory once.
    """

    def __init__(self, spec: Any, row: Row) -> None:
        super().__init__(spec)
        self._blocks = recompute.channel_blocks(row[0], whole=False)

    def forward(self, row: Row, *_: bool, **__: bool) -> Tuple[Outputs, List[Tensor]]:
        """Compute y."""
        x, slopes, intercepts, attention = row

        def compute(channels: slice) -> recompute.Results:
            out = _maximum(x[:, channels], _pieces(slopes, intercepts, channels))
            return [out if attention is None else out.mul_(attention)], []

        (out,) = recompute.in_blocks(self._blocks, x, compute)[0]
        return (out,), []

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> Gradients:
        """Gradients of x, slopes, intercepts and attention."""
        x, slopes, intercepts, attention = row
        grad = _laid_out_as(x, *grads)
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
    """A gradient in the order in memory of ``x``, which its own gradient shall have."""
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
        # There addcmul takes several times as long to add one number per channel.
        return (x * slope).add_(intercept)
    return torch.addcmul(intercept, x, slope)


def _maximum(x: Tensor, pieces: Sequence[Piece]) -> Tensor:
    first, *others = pieces
    best = _line(x, *first)
    for piece in others:
        best = torch.maximum(best, _line(x, *piece))
    return best


def _gradients(
    x: Tensor, grad: Tensor, pieces: Sequence[Piece], attention: Optional[Tensor]
) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
    """Of x; of slopes and then intercepts, of shape (channels, N, numbers); and these channels' part of the attention's."""
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
    """The highest value; and for each piece but the first, where it is at least as high as all before it.

    These are ones and zeros of the type of x, as on a CPU to multiply is many times faster than to choose by a bool.
    """
    first, *others = pieces
    best, wins = _line(x, *first), []
    for piece in others:
        line = _line(x, *piece)
        wins.append(torch.ge(line, best, out=torch.empty_like(best)))
        best = torch.maximum(line, best)
    return best, wins


def _share_out(grad: Tensor, wins: Sequence[Tensor]) -> List[Tensor]:
    """What each piece gets of the gradient: the last that wins gets all."""
    shares = []
    for won in reversed(wins):
        shares.append(grad * won)
        grad = grad - shares[-1]
    return [grad, *reversed(shares)]


class PoolPlan(Plan):
    """Means of the channels, with or without a projection. Backward adds their shares to the gradient of x."""

    def __init__(self, spec: Any, row: Row) -> None:
        super().__init__(spec)

    def forward(self, row: Row, *_: bool, **__: bool) -> Tuple[Outputs, List[Tensor]]:
        """Give x, its means and its projection."""
        return self.spec.compute(row), []

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> Gradients:
        """Gradients of x and of the weight."""
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


recompute.PLANS.update({PiecewiseSpec: PiecewisePlan, PoolSpec: PoolPlan, ProjectSpec: PoolPlan})
