"""A site by the fused kernels: torch's own kernels for the norms before it, one step each for what follows.

The kernels start from x, which is computed from what goes into the norms, and again in backward: it lives while it is
needed, and nothing of its size is kept. Arithmetic is in single precision throughout, also under autocast.
"""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ..recompute.blocks import Results
from ..recompute.norms import BATCH, Norm
from ..recompute.site import Site, SiteTensors
from ..recompute.terms import sum_of_terms, sum_of_terms_again, terms_backward
from ..recompute.windows import WindowTensors
from .requirements import WHY_NO_KERNELS

if WHY_NO_KERNELS is None:
    from .funnel_ops import funnel_activate, funnel_backward, funnel_statistics
    from .launch import dense


def forward(site: Site, tensors: SiteTensors) -> Results:
    """See :func:`mm_frelu.ops.recompute.torch_kernels.forward`."""
    x, statistics = sum_of_terms(site, tensors)
    x = dense(x)
    norm, windows = site.windows[0].norm, tensors.windows
    if norm.mode == BATCH:
        found = funnel_statistics(x, [own.weight for own in windows], _group_name(norm))
        statistics += found.flatten(0, 1).unbind()
        windows = [
            own._replace(norm=own.norm._replace(mean=mean, var=var))
            for own, (mean, var, _) in zip(windows, found)
        ]
    return [funnel_activate(x, *_arguments(site, windows))], statistics


def backward(site: Site, tensors: SiteTensors, grad: Tensor) -> Results:
    """See :func:`mm_frelu.ops.recompute.torch_kernels.backward`."""
    norm, batch = site.windows[0].norm, site.windows[0].norm.mode == BATCH
    x = dense(sum_of_terms_again(site, tensors))
    arguments = _arguments(site, tensors.windows)
    grad_x, *others = funnel_backward(grad, x, *arguments, batch, _group_name(norm))
    del x  # before the norms' gradients need room
    features, of_terms = terms_backward(site, tensors, grad_x)
    return features, [*of_terms, *_by_window(tensors.windows, arguments[:4], others)]


def _arguments(site: Site, windows: Sequence[WindowTensors]) -> Tuple[Any, ...]:
    """Weights, scales, shifts, biases, means and variances as lists, and settings: the operators' arguments after x."""
    batch = site.windows[0].norm.mode == BATCH
    gammas, betas, means, variances = zip(*(own.norm for own in windows))
    # Statistics of the batch take a bias out again.
    biases = [None if batch else own.bias for own in windows]
    lists = ([own.weight for own in windows], gammas, betas, biases, means, variances)
    there = [[value for value in values if value is not None] for values in lists]
    return (*there, site.combine == 'max', site.windows[0].norm.eps)


def _by_window(
    windows: Sequence[WindowTensors], lists: Sequence[List[Tensor]], gradients: Sequence[Tensor]
) -> List[Optional[Tensor]]:
    """Gradients of weight, bias, scale and shift of one window after the other.

    Args:
        windows: Tensors of the windows.
        lists: Weights, scales, shifts and biases that were differentiated by; empty where there are none.
        gradients: Of all of them in a row.
    """
    rest, absent = iter(gradients), [None] * len(windows)
    weights, scales, shifts, biases = ([next(rest) for _ in like] or absent for like in lists)
    values = []
    for own, weight, bias, scale, shift in zip(windows, weights, biases, scales, shifts):
        if bias is None and own.bias is not None:
            bias = torch.zeros_like(own.bias)
        values += [weight, bias, scale, shift]
    return values


def _group_name(norm: Norm) -> str:
    """Name of the processes that share a norm's statistics, ``''`` for this one alone."""
    return '' if norm.group is None else norm.group.group_name
