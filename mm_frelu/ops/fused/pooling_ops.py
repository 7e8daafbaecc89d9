"""Means and projection of a feature map as operators of torch, ``mm_frelu::pool_and_project`` and its backward."""

from typing import List, Tuple

import torch
from torch import Tensor

from ..memory_order import laid_out_as
from .crossing import cross
from .launch import call
from .pooling_kernels import pool_gradient_kernel, pool_kernel


@torch.library.custom_op('mm_frelu::pool_and_project', mutates_args=())
def pool_and_project(x: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    """Means of shape (N, C), of the type of x; and the projection of shape (N, 1, H, W), in float32."""
    n, c, h, w = x.shape
    cut = cross(x)
    of_channels, of_positions = (cut.parts(x, of_channels=flag) for flag in (True, False))
    rooms = (of_positions, of_channels) if cut.channels_last else (of_channels, of_positions)
    call(pool_kernel, cut.programs(x), x, weight.contiguous(), *rooms, *cut.sizes, **cut.constants)
    means = of_channels.sum(dim=3).reshape(n, c) / (h * w)
    return means.to(x.dtype), of_positions.sum(dim=3).reshape(n, 1, h, w)


@pool_and_project.register_fake
def _(x, weight):
    n, c, h, w = x.shape
    return x.new_empty(n, c), x.new_empty(n, 1, h, w, dtype=torch.float32)


@torch.library.custom_op('mm_frelu::pool_and_project_backward', mutates_args=())
def pool_and_project_backward(
    grad: Tensor, x: Tensor, weight: Tensor, of_means: Tensor, of_projection: Tensor
) -> List[Tensor]:
    """Gradients of x and of the weight, for the gradients of x from elsewhere, of the means and of the projection."""
    n, c, h, w = x.shape
    cut = cross(x)
    dx = torch.empty_like(x)
    of_weight = cut.parts(x, of_channels=True)
    call(
        pool_gradient_kernel, cut.programs(x), laid_out_as(x, grad), x, dx, of_weight,
        weight.contiguous(), of_means.float().contiguous() / (h * w), of_projection.contiguous(),
        *cut.sizes, **cut.constants,
    )  # fmt: skip
    return [dx, of_weight.sum(dim=(0, 3)).reshape(weight.shape).to(weight.dtype, copy=True)]


@pool_and_project_backward.register_fake
def _(grad, x, weight, of_means, of_projection):
    return [torch.empty_like(x), weight.new_empty(weight.shape)]
