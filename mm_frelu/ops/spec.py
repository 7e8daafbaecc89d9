r"""Specification of a funnel activation with the norms before it, without its tensors.

.. math::
    x = \sum_i \mathrm{norm}_i(u_i), \qquad y = \max(x,\ T(x))

Each branch :math:`u_i` is the output of a convolution, or a shortcut without norm; :math:`T` consists of windows. A backend
gets a :class:`FunnelSpec` and a flat row of tensors:

==================  ==========================================================
for each branch     features, then the tensors of its norm
for each window     weight (C, 1, kh, kw), bias (C,), the tensors of its norm
tensors of a norm   scale, shift, mean, variance, each (C,); number of batches
==================  ==========================================================

A missing tensor is None. In forward, mean and variance are the running statistics, which a norm in training updates. In
backward, they are the values that forward used.
"""

from functools import reduce
from typing import Any, Hashable, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .eager import COMBINE

NONE, FIXED, BATCH = 'none', 'fixed', 'batch'
MODES = (NONE, FIXED, BATCH)

Row = Sequence[Any]
"""Tensors, or None for those that a layer does not have. The specification determines which are None."""

Description = Tuple[Any, Optional[str]]
"""A specification (None if the modules have none), and the reason why it cannot be computed by a backend, or None."""

NORM_LENGTH, BRANCH_LENGTH, WINDOW_LENGTH = 5, 6, 7


class Norm(NamedTuple):
    """Specification of a norm.

    Attributes:
        mode: ``'none'``, ``'fixed'`` (running statistics) or ``'batch'`` (statistics of the input).
        eps: Value added to the variance.
        momentum: Weight of the batch in the update of the running statistics; None for a cumulative average.
        group: Process group over which the statistics are synchronised, or None.
    """

    mode: str
    eps: float = 0.0
    momentum: Optional[float] = 0.0
    group: Any = None


class NormTensors(NamedTuple):
    """Tensors of a norm; None for those that it does not have. The mode determines whether mean and variance exist."""

    gamma: Optional[Tensor] = None
    beta: Optional[Tensor] = None
    mean: Any = None
    var: Any = None
    batches: Optional[Tensor] = None


class Window(NamedTuple):
    """Specification of a window: a depthwise convolution that preserves the shape of its input, and a norm."""

    kernel_size: Tuple[int, int]
    padding: Tuple[int, int]
    dilation: Tuple[int, int]
    norm: Norm


class FunnelSpec(NamedTuple):
    """Specification of a funnel activation with the norms before it.

    Attributes:
        branches: The norm of each branch of ``x``.
        windows: The windows.
        combine: How the windows are combined into one condition, ``'sum'`` or ``'max'``.
        dtype: Type in which the convolutions compute: that of the input, or that of autocast.
        inplace: Whether the result may overwrite the first branch if no gradient is needed.
    """

    branches: Tuple[Norm, ...]
    windows: Tuple[Window, ...]
    combine: str
    dtype: torch.dtype
    inplace: bool = False

    @property
    def norms(self) -> List[Norm]:
        """The norms of the branches, then those of the windows."""
        return [*self.branches, *(window.norm for window in self.windows)]

    @property
    def statistics(self) -> int:
        """Number of statistics tensors that forward returns: mean and variance of each norm with mode ``'batch'``."""
        return 2 * sum(norm.mode == BATCH for norm in self.norms)

    def branch(self, row: Row, index: int) -> Tuple[Tensor, NormTensors]:
        """Return the features of a branch and the tensors of its norm."""
        start = BRANCH_LENGTH * index
        return row[start], NormTensors(*row[start + 1 : start + BRANCH_LENGTH])

    def window(self, row: Row, index: int) -> Tuple[Tensor, Optional[Tensor], NormTensors]:
        """Return weight and bias of a window and the tensors of its norm."""
        start = BRANCH_LENGTH * len(self.branches) + WINDOW_LENGTH * index
        return row[start], row[start + 1], NormTensors(*row[start + 2 : start + WINDOW_LENGTH])

    @property
    def places(self) -> List[Tuple[Norm, int, Optional[int]]]:
        """Each norm, the index in the row of its tensors, and that of the bias of its convolution, which branches do not have."""
        split = BRANCH_LENGTH * len(self.branches)
        end = split + WINDOW_LENGTH * len(self.windows)
        starts = [*range(1, split, BRANCH_LENGTH), *range(split + 2, end, WINDOW_LENGTH)]
        return [
            (norm, start, start - 1 if start > split else None)
            for norm, start in zip(self.norms, starts)
        ]

    def saved(self, row: Row, statistics: Sequence[Tensor]) -> List[Optional[Tensor]]:
        """Return the row to save for backward.

        Args:
            row: The row of forward.
            statistics: Mean and variance of each norm with mode ``'batch'``.
        """
        kept, values = list(row), iter(statistics)
        for norm, start, _ in self.places:
            kept[start + 4] = None
            if norm.mode == BATCH:
                kept[start + 2 : start + 4] = next(values), next(values)
        return kept

    def compute(self, row: Row) -> Tuple[Tensor]:
        """Compute the activated features op by op, for autograd.

        Raises:
            RuntimeError: If a norm shares its statistics with other processes.
        """
        if any(norm.group is not None for norm in self.norms):
            raise RuntimeError(
                'SyncBN over several processes supports neither second derivatives nor several gradients at once, as in '
                'torch. Use BN.'
            )
        branches = [self.branch(row, index) for index in range(len(self.branches))]
        x = reduce(torch.add, (_normed(n, u, own) for n, (u, own) in zip(self.branches, branches)))
        conditions = []
        for index, window in enumerate(self.windows):
            weight, bias, own = self.window(row, index)
            z = F.conv2d(
                x.to(self.dtype),
                weight.to(self.dtype),
                None if bias is None else bias.to(self.dtype),
                padding=window.padding,
                dilation=window.dilation,
                groups=len(weight),
            )
            conditions.append(_normed(window.norm, z, own))
        return (torch.maximum(x, reduce(COMBINE[self.combine], conditions)),)

    def outputs_like(self, row: Row) -> Tuple[List[Tensor], List[Tensor]]:
        """Return empty tensors with the shapes of the outputs and of the statistics."""
        x = row[0]
        exact = accurate(x.dtype)
        statistics = [x.new_empty(x.shape[1], dtype=exact) for _ in range(self.statistics)]
        return [torch.empty_like(x)], statistics

    def move_running_statistics(
        self, row: Row, statistics: Sequence[Tensor], counts: Optional[Sequence[Any]] = None
    ) -> None:
        """Update running statistics with those of the batch, like torch.

        Args:
            row: The row of forward.
            statistics: Mean and biased variance of each norm with mode ``'batch'``, without the bias of a convolution.
            counts: Number of values per channel for each of these norms; by default that of the first features.
        """
        count = row[0].numel() // row[0].shape[1]
        batch = [place for place in self.places if place[0].mode == BATCH]
        for index, (norm, start, bias) in enumerate(batch):
            move_running(
                norm,
                NormTensors(*row[start : start + NORM_LENGTH]),
                statistics[2 * index],
                statistics[2 * index + 1],
                counts[index] if counts else count,
                None if bias is None else row[bias],
            )

    def numbers(self) -> Tuple[List[int], List[float]]:
        """Encode the specification as integers and floats for an operator of a compiled graph; see :meth:`of_numbers`."""
        header = int(self.combine == 'max'), DTYPES.index(self.dtype), len(self.branches)
        modes = [MODES.index(norm.mode) for norm in self.norms]
        shapes = [n for w in self.windows for n in (*w.kernel_size, *w.padding, *w.dilation)]
        return [*header, *modes, *shapes], [norm.eps for norm in self.norms]

    @classmethod
    def of_numbers(cls, integers: Sequence[int], floats: Sequence[float]) -> 'FunnelSpec':
        """Decode the result of :meth:`numbers`. It lacks momentum: compiled graphs update running statistics themselves."""
        combine, dtype, branches, *rest = integers
        norms = [Norm(MODES[mode], eps) for mode, eps in zip(rest, floats)]
        numbers = rest[len(norms) :]
        pairs = list(zip(numbers[::2], numbers[1::2]))
        windows = map(Window, pairs[::3], pairs[1::3], pairs[2::3], norms[branches:])
        combined = ('sum', 'max')[combine]
        return cls(tuple(norms[:branches]), tuple(windows), combined, DTYPES[dtype])


DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def _normed(norm: Norm, z: Tensor, tensors: NormTensors) -> Tensor:
    if norm.mode == NONE:
        return z
    gamma, beta, mean, var, _ = tensors
    return F.batch_norm(z, mean, var, gamma, beta, norm.mode == BATCH, 0.0, norm.eps)


def accurate(dtype: torch.dtype) -> torch.dtype:
    """Return the type for statistics of a tensor: float32 for half precision, else its own type."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def move_running(
    norm: Norm,
    tensors: NormTensors,
    mean: Tensor,
    var: Tensor,
    count: Any,
    bias: Optional[Tensor] = None,
) -> None:
    """Update the running statistics of one norm, in place.

    Args:
        norm: The norm.
        tensors: Its tensors.
        mean: Mean of the batch, of shape (C,), without the bias of the convolution.
        var: Its biased variance.
        count: Number of values per channel, as a number or a tensor with one element.
        bias: Bias of the convolution, which only shifts the mean.
    """
    momentum: Any = norm.momentum
    with torch.no_grad():
        if tensors.batches is not None:
            tensors.batches.add_(1)
            if momentum is None:
                # The cumulative average, as a tensor to avoid a synchronisation with the device.
                momentum = (1 / tensors.batches).to(mean.dtype)
        if tensors.mean is None:
            return
        mean = mean if bias is None else mean + bias
        unbiased = var * (count / (count - 1))
        for running, value in ((tensors.mean, mean), (tensors.var, unbiased)):
            running.lerp_(value.to(running.dtype), momentum)


def facts(tensor: Tensor) -> Tuple[Hashable, ...]:
    """Return the properties of a tensor that kernels depend on, except its address."""
    return type(tensor), tensor.shape, tensor.stride(), tensor.dtype, tensor.device
