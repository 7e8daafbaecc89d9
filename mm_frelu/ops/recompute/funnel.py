"""Funnel activation that recomputes: reads the modules, calls the autograd function, updates running statistics."""

from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from ..eager import Window as ModulePair
from ..eager import eager_funnel
from ..sum_of_norms import Term, sum_of_norms
from .autocast import convolution_dtype
from .function import apply_site
from .norms import BATCH, read_norm, update_running
from .site import Site, SiteTensors
from .windows import read_window


def recompute_site(
    terms: Sequence[Term],
    windows: Sequence[ModulePair],
    combine: str = 'sum',
    kernels: str = 'recompute',
    is_spare: bool = False,
) -> Tensor:
    """Norms, their sum and the funnel activation of it, keeping what goes into the norms.

    Args:
        terms: Each a feature map of shape (N, C, H, W) and the norm that follows it, or None for no norm.
        windows: As of :func:`mm_frelu.ops.funnel`.
        combine: As of :func:`mm_frelu.ops.funnel`.
        kernels: Name of the implementation whose arithmetic is used, see :mod:`.kernels`.
        is_spare: Whether the first feature map is needed no more, but for what is kept for backward. Kernels may then
            put the result into its memory.

    Returns:
        The activated features.
    """
    u = terms[0][0]
    if u.numel() <= u.shape[1]:
        # An empty batch, or one value per channel: nothing to save, and torch's own words if a norm refuses it.
        return eager_funnel(sum_of_norms(terms), windows, combine)
    dtype = convolution_dtype(u)
    plans, tensors = zip(*(read_norm(norm) for _, norm in terms))
    window_plans, window_tensors = zip(*(read_window(conv, norm, dtype) for conv, norm in windows))
    site = Site(tuple(plans), tuple(window_plans), combine, kernels)
    inputs = [(value, own) for (value, _), own in zip(terms, tensors)]
    out, statistics = apply_site(site, SiteTensors(inputs, list(window_tensors), is_spare))
    norms = [(norm, None) for _, norm in terms] + [(norm, conv.bias) for conv, norm in windows]
    _update(norms, site, statistics)
    return out


def _update(
    norms: Sequence[Tuple[Optional[nn.Module], Optional[Tensor]]],
    site: Site,
    statistics: Sequence[Tensor],
) -> None:
    rest = iter(statistics)
    for (norm, bias), plan in zip(norms, site.norms):
        if plan.mode != BATCH:
            continue
        mean, _, unbiased_var = next(rest), next(rest), next(rest)
        with torch.no_grad():
            # The function left the bias out, which moves the mean and nothing else.
            update_running(norm, mean if bias is None else mean + bias, unbiased_var)
