"""Means of the channels and a projection to one channel in one pass, as DY-ReLU-C asks for them."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor, nn

from ..implementation import has_hooks
from .requirements import DTYPES, WHY_NO_KERNELS, why_not_features

if WHY_NO_KERNELS is None:
    from .launch import dense
    from .pooling_ops import pool_and_project, pool_and_project_backward


def why_not_projection(x: Tensor, conv: nn.Module) -> Optional[str]:
    """Why :func:`fused_pool_and_project` cannot compute a case; None if it can.

    Args:
        x: Features of shape (N, C, H, W).
        conv: What projects them.
    """
    reason = why_not_features(x)
    if reason is not None:
        return reason
    # Not isinstance: a subclass, and a parametrized layer is one, may compute something else.
    if type(conv) is not nn.Conv2d or has_hooks(conv):
        return 'the projection is no plain Conv2d, or has hooks'
    plain = (
        tuple(conv.weight.shape) == (1, x.shape[1], 1, 1)
        and conv.bias is None
        and conv.stride == (1, 1)
        and conv.padding in ((0, 0), 'same', 'valid')
    )
    if not plain:
        return 'the projection is not 1x1, to one channel, without bias'
    if conv.weight.device != x.device or conv.weight.dtype not in DTYPES:
        return f'the projection is {conv.weight.dtype} on {conv.weight.device}'
    if conv.weight.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
        return (
            f'the input is {x.dtype}, the projection {conv.weight.dtype}, and there is no autocast'
        )
    return None


def fused_pool_and_project(x: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Means and projection in one pass over memory; one backward, which adds both shares to the gradient of x.

    Arithmetic is in single precision, also under autocast. A second derivative does not exist.

    Args:
        x: Features, for which :func:`why_not_projection` has nothing to object.
        weight: Of the projection, of shape (1, C, 1, 1).

    Returns:
        x, to go on with; the means, of shape (N, C) and the type of x; the projection, of shape (N, 1, H, W), in float32.
    """
    return _PooledAndProjected.apply(dense(x), weight)


class _PooledAndProjected(torch.autograd.Function):
    """x passes through, so that backward has the gradient of its other use in hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(x, weight)
        return (x.view_as(x), *pool_and_project(x, weight))

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor, of_means: Tensor, of_projection: Tensor
    ) -> Tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return tuple(pool_and_project_backward(grad, x, weight, of_means, of_projection))
