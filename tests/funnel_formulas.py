"""Reference formulas of the funnel activations, with patches, sums and maxima only: no convolution, pooling or norm layers."""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def patches(x: Tensor, size: Tuple[int, int], dilation: int = 1, fill: float = 0.0) -> Tensor:
    """Return the values in a centred window at each position: (N, C, H, W, height * width)."""
    batch, channels, rows, columns = x.shape
    reach = [dilation * (side // 2) for side in size]
    padded = F.pad(x, [reach[1], reach[1], reach[0], reach[0]], value=fill)
    taps = [
        padded[:, :, top : top + rows, left : left + columns]
        for top in range(0, dilation * size[0], dilation)
        for left in range(0, dilation * size[1], dilation)
    ]
    return torch.stack(taps, dim=-1)


def window(x: Tensor, weight: Tensor, bias: Optional[Tensor], dilation: int = 1) -> Tensor:
    """Apply a depthwise window with weights of shape (C, 1, height, width)."""
    channels, _, *size = weight.shape
    out = (patches(x, size, dilation) * weight.view(1, channels, 1, 1, -1)).sum(-1)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def norm(x: Tensor, layer: nn.Module, groups: Optional[int] = None) -> Tensor:
    """Compute a norm layer in eval mode.

    Args:
        x: Features of shape (N, C, H, W).
        layer: Has ``weight``, ``bias`` and ``eps``, and running statistics if ``groups`` is None.
        groups: Groups of channels whose mean and variance are taken: 1 for LN, C for IN. None: running statistics (BN).
    """
    if groups is None:
        mean, variance = (
            value.view(1, -1, 1, 1) for value in (layer.running_mean, layer.running_var)
        )
    else:
        batch, channels, rows, columns = x.shape
        grouped = x.view(batch, groups, -1)
        mean = grouped.mean(-1, keepdim=True)
        variance = ((grouped - mean) ** 2).mean(-1, keepdim=True)
        each = channels // groups
        mean, variance = (
            value.repeat_interleave(each, dim=1).view(batch, channels, 1, 1)
            for value in (mean, variance)
        )
    scaled = (x - mean) / (variance + layer.eps) ** 0.5
    return scaled * layer.weight.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)


def max_pool(x: Tensor, size: int = 3) -> Tensor:
    """Return the maximum of the features in a window."""
    return patches(x, (size, size), fill=float('-inf')).amax(-1)


def avg_pool(x: Tensor, size: int = 3) -> Tensor:
    """Return the mean of the features in a window, with zeros outside of the features."""
    return patches(x, (size, size)).mean(-1)


def larger(a: Tensor, b: Tensor) -> Tensor:
    """Return the elementwise maximum of two features, or of features and a number."""
    return torch.where(a > b, a, b)


def randomise(module: nn.Module) -> nn.Module:
    """Set random parameters and statistics of moderate size, like after training; return the module."""
    generator = torch.Generator().manual_seed(0)
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        if name.endswith('running_var'):
            value.data = noise.abs() + 0.5
        elif value.ndim > 1:
            # Keeps the size of the features through a deep network.
            value.data = noise / value[0].numel() ** 0.5
        else:
            value.data = noise
    return module
