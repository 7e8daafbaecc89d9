"""What comes before the windows of a site: the norms of its terms and their sum, forward, again in backward, backward."""

from functools import reduce
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .norms import (
    NONE,
    Norm,
    NormTensors,
    accurate,
    norm_backward,
    normalise,
    normalise_as_module,
    renormalise_as_module,
)
from .site import Site, SiteTensors


def sum_of_terms(site: Site, tensors: SiteTensors) -> Tuple[Tensor, List[Tensor]]:
    """``x``, and the statistics of each norm of a term that takes them from the batch."""
    x, statistics, fresh = None, [], False
    for norm, (u, values) in zip(site.terms, tensors.terms):
        value, own = _normed(norm, u, values)
        statistics += own
        if x is None:
            x, fresh = value, norm.mode != NONE
        else:
            x, fresh = x.add_(value) if fresh else x + value, True
    return x, statistics


def sum_of_terms_again(site: Site, tensors: SiteTensors) -> Tensor:
    """``x`` from statistics that are known."""
    return reduce(
        torch.add,
        (
            u if norm.mode == NONE else renormalise_as_module(norm, values, u)
            for norm, (u, values) in zip(site.terms, tensors.terms)
        ),
    )


def terms_backward(
    site: Site, tensors: SiteTensors, grad_x: Tensor
) -> Tuple[List[Tensor], List[Optional[Tensor]]]:
    """Gradients of the terms; and of scale and shift of the norm of each, None where there is none.

    Args:
        site: The site.
        tensors: Its tensors, with the statistics of the batch.
        grad_x: Gradient of ``x``.
    """
    features, scales_and_shifts = [], []
    for norm, (u, values) in zip(site.terms, tensors.terms):
        if norm.mode == NONE:
            grad_u, *others = grad_x, None, None
        else:
            grad_u, *others = norm_backward(norm, values, u, grad_x.to(u.dtype))
        features.append(grad_u.to(u.dtype))
        scales_and_shifts += others
    return features, scales_and_shifts


def _normed(norm: Norm, u: Tensor, values: NormTensors) -> Tuple[Tensor, Sequence[Tensor]]:
    if norm.mode == NONE:
        return u, ()
    if norm.group is None:
        return normalise_as_module(norm, values, u)
    value, statistics = normalise(norm, values, u.to(accurate(u.dtype), copy=True))
    return value.to(u.dtype), statistics
