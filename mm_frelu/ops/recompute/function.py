r"""One autograd function for a site: the norms before it, their sum, the windows, the maximum.

Kept for backward are the terms :math:`u_i`, which their norms keep in any network, and a few numbers per channel. Neither
:math:`x` nor anything of :math:`T` is kept. A single term without norm is :math:`x` itself.
"""

from functools import partial
from typing import Any, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ..implementation import is_several
from .by_autograd import gradients_by_autograd
from .kernels import kernels_of
from .op_by_op import site_op_by_op
from .site import Site, SiteTensors


def apply_site(site: Site, tensors: SiteTensors) -> Tuple[Tensor, Sequence[Tensor]]:
    """Compute a site.

    Args:
        site: The site.
        tensors: Its tensors. That a term is spare counts only where nothing is kept for backward.

    Returns:
        The activated features; and mean, biased and unbiased variance for each norm that takes its statistics from the
        batch, the terms' first. Updating running statistics is the caller's.
    """
    if not torch.is_grad_enabled():  # nothing to keep
        (out,), statistics = kernels_of(site).forward(site, tensors)
        return out, statistics
    out, *statistics = _RecomputedSite.apply(site, *tensors.flat())
    return out, statistics


class _RecomputedSite(torch.autograd.Function):
    """The site with a gradient that computes ``x`` and the windows again."""

    @staticmethod
    def forward(ctx: Any, site: Site, *row: Optional[Tensor]) -> Tuple[Tensor, ...]:
        (out,), statistics = kernels_of(site).forward(site, SiteTensors.of_flat(site, row))
        kept = [value for index, value in enumerate(statistics) if index % 3 != 2]
        ctx.site = site
        ctx.save_for_backward(*row, *kept)
        ctx.mark_non_differentiable(*statistics)
        ctx.set_materialize_grads(False)
        return (out, *statistics)

    @staticmethod
    def backward(ctx: Any, grad: Optional[Tensor], *_: Any) -> Tuple[Optional[Tensor], ...]:
        site, length = ctx.site, SiteTensors.length(ctx.site)
        saved = ctx.saved_tensors  # once: checkpointing computes them when they are asked for
        row, kept = saved[:length], saved[length:]
        wanted = ctx.needs_input_grad[1:]
        if grad is None:
            return (None,) * (1 + length)
        if torch.is_grad_enabled() or is_several(grad):
            return (None, *gradients_by_autograd(partial(site_op_by_op, site), row, wanted, grad))
        tensors = SiteTensors.of_flat(site, row).with_statistics(site, kept)
        features, values = kernels_of(site).backward(site, tensors, grad)
        grads = SiteTensors.flat_gradients(site, features, values)
        return (None, *(value if needed else None for value, needed in zip(grads, wanted)))
