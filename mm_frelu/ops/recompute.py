"""Backend ``recompute``: torch's operators with a hand-written gradient that recomputes what forward did not save.

It runs on any device. A funnel activation and the norms before it compute each channel independently. On a CPU they are computed
in blocks of channels of about the size of the second-level cache. Intermediate tensors are then not written to memory, and need no
new allocations from the operating system, which would cost more than filling them.

A norm with fixed statistics is folded into the window, ``T = conv(x, s * w) + t``. The gradient of the convolution's weight is the
correlation ``G`` of the input with the gradient of ``T``. It also gives the gradient of the norm's scale, because
``sum(g * conv(x, w))`` equals ``sum(w * G)``. This avoids another pass over the features.
"""

from functools import reduce
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .autograd import Backend, Outputs, Plan
from .eager import COMBINE
from .spec import (
    BATCH,
    BRANCH_LENGTH,
    FIXED,
    NONE,
    FunnelSpec,
    Norm,
    NormTensors,
    Row,
    Window,
    accurate,
)
from .synchronise import merge_means, merge_moments

BLOCK_BYTES = 2 << 20
LANES = 16
"""oneDNN's depthwise convolution processes 16 channels at once. Other block widths take several times as long."""

Results = Tuple[Sequence[Tensor], Row]
"""Features, and values for each channel."""
Moments = Tuple[Tensor, Tensor, Any]
"""Mean and biased variance of a batch, and its number of values per channel."""


def channel_blocks(x: Tensor) -> List[slice]:
    """Divide the channels into blocks that are computed together.

    Args:
        x: Features of shape (N, C, H, W).

    Returns:
        Slices of the channels. There is one slice of all channels on a GPU and for channels_last, where the memory of a block
        would not be contiguous.
    """
    last = x.is_contiguous(memory_format=torch.channels_last)
    if x.device.type != 'cpu' or last or not x.is_contiguous():
        return [slice(None)]
    width = BLOCK_BYTES // max(x[:, :1].numel() * x.element_size(), 1) // LANES * LANES
    width = max(width, LANES)
    return [slice(start, start + width) for start in range(0, x.shape[1], width)]


def in_blocks(
    blocks: Sequence[slice], like: Tensor, compute: Callable[[slice], Results]
) -> Results:
    """Compute block by block, and concatenate the results.

    Args:
        blocks: Slices of the channels.
        like: Features with the shape and memory format of the result.
        compute: Function that returns the features of a block, of shape (N, block, H, W), and values per channel, whose first
            dimension is the channels of the block, or None.

    Returns:
        Features and values of all channels.
    """
    if len(blocks) == 1:
        return compute(blocks[0])
    wholes: List[Tensor] = []
    parts: List[Row] = []
    for channels in blocks:
        features, values = compute(channels)
        wholes = wholes or [torch.empty_like(like, dtype=part.dtype) for part in features]
        for whole, part in zip(wholes, features):
            whole[:, channels] = part
        parts.append(values)
    return wholes, [None if part[0] is None else torch.cat(part) for part in zip(*parts)]


class RecomputeFunnelPlan(Plan):
    """Plan that computes a :class:`.FunnelSpec` with torch's operators. It does not overwrite its inputs."""

    def __init__(self, spec: FunnelSpec, row: Row) -> None:
        super().__init__(spec, row)
        is_shared = any(norm.group is not None for norm in spec.norms)
        self._blocks = [slice(None)] if is_shared else channel_blocks(row[0])

    def forward(
        self, row: Row, may_overwrite: bool = False, moves_running_statistics: bool = True
    ) -> Tuple[Outputs, List[Tensor]]:
        """See :class:`.Plan`."""
        counts: List[Any] = []

        def compute(channels: slice) -> Results:
            y, moments = _forward(self.spec, self._part(row, channels))
            counts[:] = [count for _, _, count in moments]
            return [y], [value for mean, var, _ in moments for value in (mean, var)]

        (y,), statistics = in_blocks(self._blocks, row[0], compute)
        if moves_running_statistics:
            self.spec.move_running_statistics(row, statistics, counts)
        return (y,), list(statistics)

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> List[Optional[Tensor]]:
        """See :class:`.Plan`."""

        def compute(channels: slice) -> Results:
            return _backward(self.spec, self._part(row, channels), grads[0][:, channels])

        features, values = in_blocks(self._blocks, row[0], compute)
        found = list(values)
        for index, feature in enumerate(features):
            found.insert(BRANCH_LENGTH * index, feature)
        return found

    def _part(self, row: Row, channels: slice) -> Row:
        """Return the row for a block of channels."""
        if len(self._blocks) == 1:
            return row
        features = range(0, BRANCH_LENGTH * len(self.spec.branches), BRANCH_LENGTH)

        def of(index: int, tensor: Optional[Tensor]) -> Optional[Tensor]:
            if tensor is None or tensor.dim() == 0:  # num_batches_tracked has no channels
                return tensor
            return tensor[:, channels] if index in features else tensor[channels]

        return [of(index, tensor) for index, tensor in enumerate(row)]


PLANS: Dict[type, Callable[[Any, Row], Plan]] = {FunnelSpec: RecomputeFunnelPlan}
"""Plan for each class of specifications. Other activations add their plans where they define them."""


def _unsupported_reason(spec: Any, row: Row) -> Optional[str]:
    return None if type(spec) in PLANS else f'{type(spec).__name__} has no gradient by hand'


BACKEND = Backend(_unsupported_reason, lambda spec, row: PLANS[type(spec)](spec, row))


def _forward(spec: FunnelSpec, row: Row) -> Tuple[Tensor, List[Moments]]:
    x, moments = _sum_of_norms(spec, row)
    conditions = []
    for window in _windows(spec, row):
        if window.norm.mode == BATCH:
            z = window.convolve(x, window.weight, None)  # a batch norm cancels the bias
            value, own = _normalise(window.norm, window.tensors, z.to(accurate(z.dtype)))
            moments.append(own)
            conditions.append(value.to(z.dtype))
        else:
            conditions.append(window.again(x)[0])
    highest = reduce(COMBINE[spec.combine], conditions)
    return torch.maximum(x, highest, out=highest if highest.dtype == x.dtype else None), moments


def _backward(spec: FunnelSpec, row: Row, grad: Tensor) -> Results:
    """Compute the gradients of the branches, and those of their norms and of the windows in the order of the row."""
    x, _ = _sum_of_norms(spec, row, are_known=True)
    windows = _windows(spec, row)
    conditions, zs = zip(*(window.again(x) for window in windows))
    share, parts = _share_out(conditions, spec.combine, x, grad)
    grad_x: Any = None
    features: List[Any] = []
    of_norms: List[Optional[Tensor]] = []
    of_windows: List[Optional[Tensor]] = []
    for window, z, part in zip(windows, zs, parts):
        through, *others = window.backward(x, z, part.to(spec.dtype))
        grad_x = through.to(x.dtype) if grad_x is None else grad_x.add_(through)
        of_windows += [*others, None, None, None]
    grad_x.add_(grad - share)
    for index, norm in enumerate(spec.branches):
        u, tensors = spec.branch(row, index)
        grad_u, *others = _norm_backward(norm, tensors, u, grad_x)
        features.append(grad_u)
        of_norms += [*others, None, None, None]
    return features, [*of_norms, *of_windows]


def _share_out(
    conditions: Sequence[Tensor], combine: str, x: Tensor, grad: Tensor
) -> Tuple[Tensor, List[Tensor]]:
    """Return the part of the gradient that goes to the condition, and the part of it that goes to each window."""
    highest = [conditions[0]]
    for value in conditions[1:]:
        highest.append(COMBINE[combine](highest[-1], value))
    share = rest = _share_of_first(highest[-1], x, grad)
    if combine == 'sum':
        return share, [share] * len(conditions)
    parts = []
    for value, others in zip(conditions[:0:-1], highest[-2::-1]):
        parts.append(_share_of_first(value, others, rest))
        rest = rest - parts[-1]
    return share, [rest, *parts[::-1]]


def _share_of_first(first: Tensor, second: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient of ``maximum(first, second)`` with respect to the first: all, none, or half if they are equal."""
    return torch.sub(first, second).sign_().add_(1).mul_(grad).mul_(0.5)


def _sum_of_norms(
    spec: FunnelSpec, row: Row, are_known: bool = False
) -> Tuple[Tensor, List[Moments]]:
    """Compute ``x``, and the moments of each norm over the batch unless they are known.

    torch's own kernel is used, so that the result is bitwise equal to that of the modules. ``init='identity'`` depends on this.
    """
    x: Any = None
    moments: List[Moments] = []
    for index, norm in enumerate(spec.branches):
        value, (gamma, beta, mean, var, _) = spec.branch(row, index)
        if norm.mode == FIXED or (are_known and norm.mode == BATCH):
            value = F.batch_norm(_dense(value), mean, var, gamma, beta, False, 0.0, norm.eps)
        elif norm.mode == BATCH:
            value, own = _norm_over_batch(norm, value, gamma, beta)
            moments.append(own)
        x = value if x is None else torch.add(x, value, out=None if x is row[0] else x)
    return x, moments


def _norm_over_batch(
    norm: Norm, u: Tensor, gamma: Optional[Tensor], beta: Optional[Tensor]
) -> Tuple[Tensor, Moments]:
    exact = accurate(u.dtype)
    if norm.group is not None:
        value, moments = _normalise(norm, NormTensors(gamma, beta), u.to(exact, copy=True))
        return value.to(u.dtype), moments
    # With a momentum of 1, the running statistics are those of the batch.
    mean, var = (u.new_zeros(u.shape[1], dtype=exact) for _ in range(2))
    value = F.batch_norm(_dense(u), mean, var, gamma, beta, True, 1.0, norm.eps)
    count = u.numel() // u.shape[1]
    return value, (mean, var.mul_((count - 1) / count), count)


def _dense(u: Tensor) -> Tensor:
    """Return dense features. With gaps in memory, as in a block of channels of several images, torch's kernel rounds differently."""
    return u if u.is_contiguous(memory_format=torch.channels_last) else u.contiguous()


class _Window(NamedTuple):
    """A window with its tensors."""

    spec: Window
    dtype: torch.dtype
    weight: Tensor
    bias: Optional[Tensor]
    tensors: NormTensors

    @property
    def norm(self) -> Norm:
        return self.spec.norm

    @property
    def is_folded(self) -> bool:
        # In half precision the folded weight would be rounded once more than in the reference.
        return self.norm.mode == FIXED and self.dtype == accurate(self.dtype)

    def again(self, x: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute the value from known statistics; and the output of the convolution unless the norm is folded into it."""
        if self.norm.mode == NONE:
            return self.convolve(x, self.weight, self.bias), None
        scale = _scale_of(self.norm, self.tensors)
        shift = -self.tensors.mean * scale
        shift = shift if self.tensors.beta is None else shift + self.tensors.beta
        if self.is_folded:
            shift = shift if self.bias is None else shift + self.bias * scale
            return self.convolve(x, self.weight * scale.view(-1, 1, 1, 1), shift), None
        z = self.convolve(x, self.weight, self.bias if self.norm.mode == FIXED else None)
        value = torch.addcmul(_per_channel(shift), z.to(scale.dtype), _per_channel(scale))
        return value.to(z.dtype), z

    def backward(self, x: Tensor, z: Optional[Tensor], grad: Tensor) -> Row:
        """Compute the gradients of the input, weight, bias, and the norm's scale and shift."""
        if self.is_folded:
            return self._folded_backward(x, grad)
        grad, *others = _norm_backward(self.norm, self.tensors, z, grad)
        grad_x, grad_weight = self.convolve_backward(grad, x, self.weight)
        if self.bias is None:
            return grad_x, grad_weight, None, *others
        # A shift of all values of a channel does not change the output of a batch norm.
        of_bias = torch.zeros_like(self.bias) if self.norm.mode == BATCH else _sum(grad)
        return grad_x, grad_weight, of_bias, *others

    def _folded_backward(self, x: Tensor, grad: Tensor) -> Row:
        weight, bias, (gamma, beta, mean, var, _) = self.weight, self.bias, self.tensors
        scale = _scale_of(self.norm, self.tensors)
        taps_scale, total = scale.view(-1, 1, 1, 1), _sum(grad)
        grad_x, correlation = self.convolve_backward(grad, x, weight * taps_scale)
        of_gamma, of_bias = None, None if bias is None else scale * total
        if gamma is not None:
            offset = -mean if bias is None else bias - mean
            of_gamma = (weight * correlation).sum((1, 2, 3)) + offset * total
            of_gamma *= torch.rsqrt(var + self.norm.eps)
        of_beta = None if beta is None else total
        return grad_x, correlation * taps_scale, of_bias, of_gamma, of_beta

    def convolve(self, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        dtype, (_, padding, dilation, _) = self.dtype, self.spec
        bias = None if bias is None else bias.to(dtype)
        return F.conv2d(x.to(dtype), weight.to(dtype), bias, 1, padding, dilation, len(weight))

    def convolve_backward(self, grad: Tensor, x: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
        dtype, (_, padding, dilation, _), mask = self.dtype, self.spec, (True, True, False)
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, x.to(dtype), weight.to(dtype), None,
            (1, 1), padding, dilation, False, (0, 0), len(weight), mask,
        )  # fmt: skip
        return grad_x, grad_weight.to(weight.dtype)


def _windows(spec: FunnelSpec, row: Row) -> List[_Window]:
    return [_Window(own, spec.dtype, *spec.window(row, i)) for i, own in enumerate(spec.windows)]


def _sum(values: Tensor) -> Tensor:
    return values.sum((0, 2, 3), dtype=accurate(values.dtype))


def _normalise(norm: Norm, tensors: NormTensors, z: Tensor) -> Tuple[Tensor, Moments]:
    """Compute a norm over the batch in place, for features in single or double precision."""
    # Two passes, to avoid the difference of large squares.
    count: Any = z.numel() // z.shape[1]
    divisor = max(count, 1)  # of several processes, one may have an empty batch
    mean = z.sum((0, 2, 3)) / divisor
    z.sub_(_per_channel(mean))
    var = (z * z).sum((0, 2, 3)) / divisor
    if norm.group is not None:
        own = mean
        mean, var, count = merge_moments(mean, var, count, norm.group)
        z.add_(_per_channel(own - mean))
    z.mul_(_per_channel(_scale_of(norm, tensors._replace(var=var))))
    if tensors.beta is not None:
        z.add_(_per_channel(tensors.beta))
    return z, (mean, var, count)


def _norm_backward(norm: Norm, tensors: NormTensors, z: Any, grad: Tensor) -> Row:
    """Compute the gradients of a norm's input ``z``, scale and shift. The tensors include the statistics of the batch."""
    gamma, beta, mean, var, _ = tensors
    if norm.mode == NONE:
        return grad, None, None
    mask, invstd = [True, gamma is not None, beta is not None], torch.rsqrt(var + norm.eps)
    if norm.group is None:
        grads = torch.ops.aten.native_batch_norm_backward(
            grad, z, gamma, mean, var, mean, invstd, norm.mode == BATCH, norm.eps, mask
        )
    else:
        normalised = (z - _per_channel(mean)) * _per_channel(invstd)
        own = torch.stack([_sum(grad), _sum(grad * normalised)])
        count = z.numel() // z.shape[1]
        means = merge_means(own / max(count, 1), count, norm.group)
        inner = grad - _per_channel(means[0]) - normalised * _per_channel(means[1])
        # Scale and shift get the part of this process, because DDP sums the gradients.
        grads = (inner * _per_channel(_scale_of(norm, tensors))).to(grad.dtype), own[1], own[0]
    return [value if wanted else None for value, wanted in zip(grads, mask)]


def _scale_of(norm: Norm, tensors: NormTensors) -> Tensor:
    """Return the factor by which the norm multiplies its input, for each channel."""
    scale = torch.rsqrt(tensors.var + norm.eps)
    return scale if tensors.gamma is None else scale * tensors.gamma


def _per_channel(values: Tensor) -> Tensor:
    """Reshape (C,) to (C, 1, 1), which broadcasts over a feature map."""
    return values.view(-1, 1, 1)
