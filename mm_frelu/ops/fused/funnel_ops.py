"""The fused funnel activation as operators of torch, with shapes for tracing and gradients for autograd.

``mm_frelu::funnel_batch`` normalises its windows with the statistics of the batch, ``mm_frelu::funnel_fixed`` with running
ones, or not at all. To torch.compile each is one opaque call, so that no graph breaks. Their gradients are operators too;
those have no gradient in turn.
"""

from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor

from .funnel_launch import Condition, activate, backpropagate, measure


@torch.library.custom_op('mm_frelu::funnel_batch', mutates_args=())
def funnel_batch(
    x: Tensor,
    weights: List[Tensor],
    scales: List[Tensor],
    shifts: List[Tensor],
    biases: List[Tensor],
    maximum: bool,
    eps: float,
    group: str,
) -> Tuple[Tensor, Tensor]:
    """``y`` and the moments of the windows' sums, see :class:`.Condition`. ``group`` names the processes that share them.

    The biases have no effect; they are arguments because a parameter without a gradient would be an error to DDP.
    """
    moments = measure(x, weights, group)
    return activate(x, Condition(weights, scales, shifts, maximum, eps, moments=moments)), moments


@funnel_batch.register_fake
def _(x, weights, scales, shifts, biases, maximum, eps, group):
    return torch.empty_like(x), x.new_empty(len(weights), 3, x.shape[1], dtype=torch.float32)


@torch.library.custom_op('mm_frelu::funnel_batch_backward', mutates_args=())
def funnel_batch_backward(
    grad: Tensor,
    x: Tensor,
    moments: Tensor,
    weights: List[Tensor],
    scales: List[Tensor],
    shifts: List[Tensor],
    biases: List[Tensor],
    maximum: bool,
    eps: float,
    group: str,
) -> List[Tensor]:
    """Gradients of x, the weights, the scales, the shifts and the biases, one after the other."""
    condition = Condition(weights, scales, shifts, maximum, eps, moments=moments)
    gradients = backpropagate(grad, x, condition, group)
    reciprocals = (moments[:, 2] / moments[:, 0] + eps).rsqrt()
    of_scales = [
        (weighted * reciprocal).to(scale.dtype)
        for weighted, reciprocal, scale in zip(gradients.weighted, reciprocals, scales)
    ]
    of_shifts = [plain.to(shift.dtype, copy=True) for plain, shift in zip(gradients.plain, shifts)]
    of_biases = [torch.zeros_like(bias) for bias in biases]
    return [gradients.x, *gradients.weights, *of_scales, *of_shifts, *of_biases]


@funnel_batch_backward.register_fake
def _(grad, x, moments, weights, scales, shifts, biases, maximum, eps, group):
    return [torch.empty_like(tensor) for tensor in (x, *weights, *scales, *shifts, *biases)]


def _keep_batch(ctx: Any, inputs: Tuple, output: Tuple[Tensor, Tensor]) -> None:
    x, *lists, maximum, eps, group = inputs
    ctx.lengths = [len(tensors) for tensors in lists]
    ctx.settings = maximum, eps, group
    ctx.save_for_backward(x, output[1], *(tensor for tensors in lists for tensor in tensors))


def _backward_batch(ctx: Any, grad: Tensor, _: Optional[Tensor]) -> Tuple:
    x, moments, *others = ctx.saved_tensors
    results = funnel_batch_backward(grad, x, moments, *_split(others, ctx.lengths), *ctx.settings)
    return (results[0], *_split(results[1:], ctx.lengths), None, None, None)


funnel_batch.register_autograd(_backward_batch, setup_context=_keep_batch)


@torch.library.custom_op('mm_frelu::funnel_fixed', mutates_args=())
def funnel_fixed(
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
    """``y``, with the given statistics; without a norm where ``means`` is empty."""
    return activate(x, Condition(weights, scales, shifts, maximum, eps, means, variances, biases))


@funnel_fixed.register_fake
def _(x, weights, scales, shifts, biases, means, variances, maximum, eps):
    return torch.empty_like(x)


@torch.library.custom_op('mm_frelu::funnel_fixed_backward', mutates_args=())
def funnel_fixed_backward(
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
) -> List[Tensor]:
    """Gradients of x, the weights, the scales, the shifts and the biases, one after the other."""
    condition = Condition(weights, scales, shifts, maximum, eps, means, variances, biases)
    gradients = backpropagate(grad, x, condition)
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


@funnel_fixed_backward.register_fake
def _(grad, x, weights, scales, shifts, biases, means, variances, maximum, eps):
    return [torch.empty_like(tensor) for tensor in (x, *weights, *scales, *shifts, *biases)]


def _keep_fixed(ctx: Any, inputs: Tuple, output: Tensor) -> None:
    x, *lists, maximum, eps = inputs
    ctx.lengths = [len(tensors) for tensors in lists]
    ctx.settings = maximum, eps
    ctx.save_for_backward(x, *(tensor for tensors in lists for tensor in tensors))


def _backward_fixed(ctx: Any, grad: Tensor) -> Tuple:
    x, *others = ctx.saved_tensors
    lists = _split(others, ctx.lengths)
    x_gradient, *rest = funnel_fixed_backward(grad, x, *lists, *ctx.settings)
    statistics = [[None] * length for length in ctx.lengths[4:]]
    return (x_gradient, *_split(rest, ctx.lengths[:4]), *statistics, None, None)


funnel_fixed.register_autograd(_backward_fixed, setup_context=_keep_fixed)


def _split(tensors: List[Tensor], lengths: Tuple[int, ...]) -> List[List[Tensor]]:
    parts, first = [], 0
    for length in lengths:
        parts.append(list(tensors[first : first + length]))
        first += length
    return parts
