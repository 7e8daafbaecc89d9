"""A site op by op, from what was kept: for autograd, where the gradient by hand does not serve."""

from functools import reduce
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..eager import COMBINE
from .norms import BATCH, NONE, Norm, NormTensors, group_in
from .site import Site, SiteTensors


def site_op_by_op(site: Site, row: Sequence[Optional[Tensor]]) -> Tensor:
    """The activated features.

    Args:
        site: The site.
        row: Its tensors, in the order of :meth:`.SiteTensors.flat`.

    Raises:
        RuntimeError: If a norm shares its statistics with other processes.
    """
    if group_in(site.norms):
        raise RuntimeError(
            'SyncBN over several processes has no second derivative and takes one gradient at a time, here and in '
            'torch. Use BN.'
        )
    tensors = SiteTensors.of_flat(site, row)
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
    return torch.maximum(x, reduce(COMBINE[site.combine], conditions))


def _normed(norm: Norm, z: Tensor, tensors: NormTensors) -> Tensor:
    if norm.mode == NONE:
        return z
    gamma, beta, mean, var = tensors
    return F.batch_norm(z, mean, var, gamma, beta, norm.mode == BATCH, 0.0, norm.eps)
