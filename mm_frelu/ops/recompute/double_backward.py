"""The gradient of a site as a function that can itself be differentiated, for ``create_graph=True``.

It is autograd's own, of the site computed op by op from what was kept.
"""

from functools import reduce
from typing import List, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..eager import COMBINE
from .norms import BATCH, NONE, Norm, NormTensors, group_in
from .site import Site, SiteTensors


def differentiable_backward(
    site: Site, row: Sequence[Optional[Tensor]], wanted: Sequence[bool], grad: Tensor
) -> List[Optional[Tensor]]:
    """Gradients of a site's tensors, with a graph behind them.

    Args:
        site: The site.
        row: Its tensors, in the order of :meth:`.SiteTensors.flat`.
        wanted: Which of them need a gradient.
        grad: Gradient of the activated features.

    Raises:
        RuntimeError: If a norm shares its statistics with other processes.
    """
    if group_in(site.norms):
        raise RuntimeError(
            'A second derivative through SyncBN over several processes does not exist, neither here nor in torch. '
            'Use BN.'
        )
    # Views stand for the tensors: where one of them serves two purposes, each gets its own gradient.
    stand_ins = [
        tensor.view_as(tensor) if needed else tensor for tensor, needed in zip(row, wanted)
    ]
    tensors = SiteTensors.of_flat(site, stand_ins)
    x = reduce(
        torch.add, (_normed(norm, u, own) for norm, (u, own) in zip(site.terms, tensors.terms))
    )
    conditions = []
    for window, (weight, bias, own) in zip(site.windows, tensors.windows):
        z = F.conv2d(
            x.to(window.dtype),
            weight.to(window.dtype),
            None if bias is None else bias.to(window.dtype),
            padding=window.padding,
            dilation=window.dilation,
            groups=len(weight),
        )
        conditions.append(_normed(window.norm, z, own))
    out = torch.maximum(x, reduce(COMBINE[site.combine], conditions))
    sources = [tensor for tensor, needed in zip(stand_ins, wanted) if needed]
    grads = iter(torch.autograd.grad(out, sources, grad, create_graph=True, allow_unused=True))
    return [next(grads) if needed else None for needed in wanted]


def _normed(norm: Norm, z: Tensor, tensors: NormTensors) -> Tensor:
    if norm.mode == NONE:
        return z
    gamma, beta, mean, var = tensors
    return F.batch_norm(z, mean, var, gamma, beta, norm.mode == BATCH, 0.0, norm.eps)
