"""Global average pooling in a layer that goes on with its input, as DY-ReLU does.

Autograd's gradient of a mean is a tensor of the size of x, which it writes, and then adds to the gradient that x gets from
its other use: a write, two reads and a write. Here x passes through the function that pools it, so that its backward has that other
gradient in hand, and adds one number per channel to it: a read and a write.
"""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor, nn

from . import fused
from .implementation import Choice


def pool(choice: Choice, x: Tensor) -> Tuple[Tensor, Tensor]:
    """Means of the channels.

    Args:
        choice: What computes the activation.
        x: Features of shape (N, C, H, W).

    Returns:
        x, to go on with; and the means, of shape (N, C).
    """
    if choice.name == 'eager':
        return x, x.mean(dim=(2, 3))
    return _Pooled.apply(x)


def pool_and_project(
    choice: Choice, x: Tensor, projection: nn.Module
) -> Tuple[Tensor, Tensor, Tensor]:
    """Means of the channels, and a convolution to one channel.

    The fused kernels do both in one pass, if the convolution is plain; else each is computed on its own.

    Args:
        choice: What computes the activation.
        x: Features of shape (N, C, H, W).
        projection: 1x1 convolution to one channel, without bias.

    Returns:
        x, to go on with; the means, of shape (N, C); and the projection of x, of shape (N, 1, H, W).
    """
    if choice.name == 'triton' and fused.why_not_projection(x, projection) is None:
        return fused.fused_pool_and_project(x, projection.weight)
    x, means = pool(choice, x)
    return x, means, projection(x)


class _Pooled(torch.autograd.Function):
    """x and its means. Backward is linear and made of torch's ops, so it can be differentiated in turn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tuple[Tensor, Tensor]:
        ctx.shape = x.shape
        ctx.set_materialize_grads(False)
        return x.view_as(x), x.mean(dim=(2, 3))

    @staticmethod
    def backward(ctx: Any, grad: Optional[Tensor], of_means: Optional[Tensor]) -> Optional[Tensor]:
        if of_means is None:
            return grad
        share = (of_means / (ctx.shape[2] * ctx.shape[3]))[:, :, None, None]
        return share.expand(ctx.shape) if grad is None else grad + share
