"""The steps of the fused funnel activation as operators of torch, with shapes for tracing.

``mm_frelu::funnel_statistics`` measures the windows' sums over the batch, ``mm_frelu::funnel_activate`` gives y and
``mm_frelu::funnel_backward`` the gradients. To torch.compile each is one opaque call, so that no graph breaks. How they
make up a function with a gradient is told in :mod:`.site`.
"""

from typing import List

import torch
from torch import Tensor

from .funnel_launch import Condition, activate, backpropagate, measure


@torch.library.custom_op('mm_frelu::funnel_statistics', mutates_args=())
def funnel_statistics(x: Tensor, weights: List[Tensor], group: str) -> Tensor:
    """Mean, biased and unbiased variance of each window's sums, of shape (windows, 3, C).

    Args:
        x: Input, dense.
        weights: See :class:`.Condition`.
        group: Name of the processes whose batches are one batch, ``''`` for this one alone.
    """
    count, mean, squares = measure(x, weights, group).unbind(1)
    return torch.stack([mean, squares / count, squares / (count - 1)], dim=1)


@funnel_statistics.register_fake
def _(x, weights, group):
    return x.new_empty(len(weights), 3, x.shape[1], dtype=torch.float32)


@torch.library.custom_op('mm_frelu::funnel_activate', mutates_args=())
def funnel_activate(
    x: Tensor,
    weights: List[Tensor],
    scales: List[Tensor],
    shifts: List[Tensor],
    biases: List[Tensor],
    means: List[Tensor],
    variances: List[Tensor],
    maximum: bool,
    eps: float,
) -> Tensor:
    """``y``; for the arguments after x see :class:`.Condition`."""
    return activate(x, Condition(weights, scales, shifts, biases, means, variances, maximum, eps))


@funnel_activate.register_fake
def _(x, weights, scales, shifts, biases, means, variances, maximum, eps):
    return torch.empty_like(x)


@torch.library.custom_op('mm_frelu::funnel_backward', mutates_args=())
def funnel_backward(
    grad: Tensor,
    x: Tensor,
    weights: List[Tensor],
    scales: List[Tensor],
    shifts: List[Tensor],
    biases: List[Tensor],
    means: List[Tensor],
    variances: List[Tensor],
    maximum: bool,
    eps: float,
    batch: bool,
    group: str,
) -> List[Tensor]:
    """Gradients of x, the weights, the scales, the shifts and the biases, one after the other.

    ``batch`` says that the statistics are those of the batch, which depend on x, and ``group`` whose batch it is.
    """
    condition = Condition(weights, scales, shifts, biases, means, variances, maximum, eps)
    gradients = backpropagate(grad, x, condition, batch, group)
    reciprocals = [(variance.float() + eps).rsqrt() for variance in variances]
    of_scales = [
        (weighted * reciprocal).to(scale.dtype)
        for weighted, reciprocal, scale in zip(gradients.weighted, reciprocals, scales)
    ]
    of_shifts = [plain.to(shift.dtype, copy=True) for plain, shift in zip(gradients.plain, shifts)]
    factors = reciprocals or [x.new_ones((), dtype=torch.float32)] * len(weights)
    if scales:
        factors = [factor * scale.float() for factor, scale in zip(factors, scales)]
    of_biases = [
        (plain * factor).to(bias.dtype)
        for plain, factor, bias in zip(gradients.plain, factors, biases)
    ]
    return [gradients.x, *gradients.weights, *of_scales, *of_shifts, *of_biases]


@funnel_backward.register_fake
def _(grad, x, weights, scales, shifts, biases, means, variances, maximum, eps, batch, group):
    return [torch.empty_like(tensor) for tensor in (x, *weights, *scales, *shifts, *biases)]
