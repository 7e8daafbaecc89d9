"""From tensors to launches: the kernels of the funnel activation, put together."""

from typing import List, NamedTuple, Optional, Tuple

import torch
import torch.distributed as dist
from torch import Tensor

from ..memory_order import laid_out_as
from .funnel_backward import gradient_kernel, spread_kernel, sums_kernel
from .funnel_forward import activate_kernel, merge_moments_kernel, moments_kernel
from .launch import call
from .tiling import Tiling, tile

LARGEST_IN_ONE = 3
"""Largest window whose input gradient is computed without writing the window's own gradient to memory."""
MERGED_CHANNELS, MERGED_PARTS = 4, 128


class Condition(NamedTuple):
    """Tensors and settings of the windows of one layer. A list is empty where the layer has nothing of the kind.

    Attributes:
        weights: Of shape (C, 1, K, K), or (C, 1, 1, K) and (C, 1, K, 1).
        scales, shifts: The norms' weights and biases.
        biases: Of the convolutions; statistics of the batch take them out again, so with these they are left out.
        means, variances: Statistics of the windows' sums, of the batch or running ones; variances are biased.
        maximum: Whether two windows are combined by their maximum.
        eps: The norms' epsilon.
    """

    weights: List[Tensor]
    scales: List[Tensor]
    shifts: List[Tensor]
    biases: List[Tensor]
    means: List[Tensor]
    variances: List[Tensor]
    maximum: bool
    eps: float

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.weights)

    @property
    def size(self) -> int:
        """K."""
        return self.weights[0].shape[-1]

    @property
    def taps(self) -> int:
        """Weights per channel."""
        return sum(weight.shape[2] * weight.shape[3] for weight in self.weights)

    def of(self, name: str) -> Tuple[Optional[Tensor], ...]:
        """One tensor, or None, per window."""
        return tuple(getattr(self, name)) or (None,) * self.windows

    def constants(self) -> dict:
        """Keyword arguments of the kernels."""
        return dict(MAXIMUM=self.maximum, K=self.size, LIGHT=self.windows == 2)


def measure(x: Tensor, weights: List[Tensor], group: str) -> Tensor:
    """Moments of the windows' sums over the batch, of all processes of a group.

    Args:
        x: Input.
        weights: See :class:`Condition`.
        group: Name of the process group, ``''`` for this process alone.

    Returns:
        Count, mean and sum of squared deviations, of shape (windows, 3, C).
    """
    plan = tile(x)
    windows = len(weights)
    partials = x.new_empty(x.shape[1], 3 * windows, plan.parts, dtype=torch.float32)
    call(
        moments_kernel, plan.programs, x, tuple(weights), partials, *plan.sizes(x), plan.parts,
        K=weights[0].shape[-1], LIGHT=windows == 2, **plan.constants(),
    )  # fmt: skip
    moments = _merge(partials)
    if group:
        everyone = [torch.empty_like(moments) for _ in range(dist.get_world_size(_group(group)))]
        dist.all_gather(everyone, moments, group=_group(group))
        # (windows, 3, C, processes) -> (C, 3 * windows, processes)
        together = torch.stack(everyone, dim=-1).permute(2, 0, 1, 3).contiguous()
        moments = _merge(together.flatten(1, 2))
    return moments


def _merge(partials: Tensor) -> Tensor:
    channels, numbers, parts = partials.shape
    windows = numbers // 3
    moments = partials.new_empty(windows, 3, channels)
    call(
        merge_moments_kernel, (-(-channels // MERGED_CHANNELS), windows), partials, moments,
        channels, parts, WINDOWS=windows, CHANNELS=MERGED_CHANNELS, PARTS=MERGED_PARTS,
    )  # fmt: skip
    return moments


def _group(name: str) -> dist.ProcessGroup:
    return dist.distributed_c10d._resolve_process_group(name)


def activate(x: Tensor, condition: Condition) -> Tensor:
    """Compute y, in the memory format of x."""
    plan = tile(x)
    y = torch.empty_like(x)
    call(
        activate_kernel, plan.programs, x, y,
        *map(condition.of, ('weights', 'means', 'variances', 'scales', 'shifts', 'biases')),
        condition.eps, *plan.sizes(x), **condition.constants(), **plan.constants(),
    )  # fmt: skip
    return y


class Gradients(NamedTuple):
    """What backward gives.

    Attributes:
        x: Gradient of x.
        weights: Of the windows.
        plain: For each window the sum of what its condition gets, of shape (C,), in float32.
        weighted: The same, times the centred sums.
    """

    x: Tensor
    weights: List[Tensor]
    plain: List[Tensor]
    weighted: List[Tensor]


def backpropagate(
    grad: Tensor, x: Tensor, condition: Condition, batch: bool, group: str = ''
) -> Gradients:
    """Gradients of x and of the windows.

    Args:
        grad: Gradient of y.
        x: Input.
        condition: The windows.
        batch: Whether their statistics are those of the batch.
        group: As for :func:`measure`.
    """
    plan = tile(x)
    grad = laid_out_as(x, grad)
    windows, taps = condition.windows, condition.taps
    own = _condition_sums(grad, x, condition, plan) if batch else None
    averages = _averages(own, x, group) if batch else None
    dx = torch.empty_like(x)
    in_one = condition.size <= LARGEST_IN_ONE
    dz = tuple(None if in_one else torch.empty_like(x) for _ in range(windows))
    partials = x.new_empty(x.shape[1], taps + 2 * windows, plan.parts, dtype=torch.float32)
    call(
        gradient_kernel, plan.programs, x, grad, dx, dz, partials,
        *map(condition.of, ('weights', 'means', 'variances', 'scales', 'shifts', 'biases')),
        averages, condition.eps, *plan.sizes(x), plan.parts,
        IN_ONE=in_one, **condition.constants(), **plan.constants(),
    )  # fmt: skip
    if not in_one:
        call(
            spread_kernel, plan.programs, dx, dz, condition.of('weights'), *plan.sizes(x),
            K=condition.size, LIGHT=windows == 2, **plan.constants(),
        )  # fmt: skip
    totals = partials.sum(dim=-1)
    sums = totals[:, taps:] if own is None else own
    of_weights = [
        part.reshape(weight.shape).to(weight.dtype, copy=True)
        for part, weight in zip(
            totals[:, :taps].split([taps // windows] * windows, dim=1), condition.weights
        )
    ]
    return Gradients(dx, of_weights, list(sums[:, 0::2].unbind(1)), list(sums[:, 1::2].unbind(1)))


def _condition_sums(grad: Tensor, x: Tensor, condition: Condition, plan: Tiling) -> Tensor:
    partials = x.new_empty(x.shape[1], 2 * condition.windows, plan.parts, dtype=torch.float32)
    call(
        sums_kernel, plan.programs, x, grad, partials,
        *map(condition.of, ('weights', 'means', 'variances', 'scales', 'shifts')), condition.eps,
        *plan.sizes(x), plan.parts, **condition.constants(), **plan.constants(),
    )  # fmt: skip
    return partials.sum(dim=-1)


def _averages(own: Tensor, x: Tensor, group: str) -> Tensor:
    """Sums of all processes over the values of all processes, whose batches need not be equal."""
    count = x.numel() // x.shape[1]
    if not group:
        return own / count
    joint = torch.cat([own, own.new_full((len(own), 1), count)], dim=1)
    dist.all_reduce(joint, group=_group(group))
    return joint[:, :-1] / joint[:, -1:]
