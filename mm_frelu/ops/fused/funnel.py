"""The fused funnel activation as the layers call it: takes windows, updates running statistics."""

from typing import Optional, Sequence, Tuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .requirements import WHY_NO_KERNELS, uses_batch, why_not_features, why_not_windows

if WHY_NO_KERNELS is None:
    from .funnel_ops import funnel_batch, funnel_fixed
    from .launch import dense

Window = Tuple[nn.Module, nn.Module]


def why_not_funnel(x: Tensor, windows: Sequence[Window], combine: str) -> Optional[str]:
    """Why :func:`fused_funnel` cannot compute a case; None if it can.

    Args:
        x: Input of shape (N, C, H, W).
        windows: The windows, each a depthwise convolution and its norm.
        combine: How two windows become one condition, ``'sum'`` or ``'max'``.
    """
    return why_not_features(x) or why_not_windows(x, windows)


def fused_funnel(x: Tensor, windows: Sequence[Window], combine: str) -> Tensor:
    r""":math:`y = \max(x, T(x))` in two passes over memory, three with batch statistics.

    Values, gradients, running statistics and ties are those of the eager form. Arithmetic is in single precision
    throughout, also under autocast: only x and y are of lower precision. A second derivative does not exist.

    Args:
        x: Input of shape (N, C, H, W), for which :func:`why_not_funnel` has nothing to object.
        windows: See :func:`why_not_funnel`.
        combine: See :func:`why_not_funnel`.

    Returns:
        The activated features, of the shape, type and memory format of x.
    """
    convs, norms = zip(*windows)
    x = dense(x)
    weights = [conv.weight for conv in convs]
    biases = [conv.bias for conv in convs if conv.bias is not None]
    scales = [norm.weight for norm in norms if getattr(norm, 'weight', None) is not None]
    shifts = [norm.bias for norm in norms if getattr(norm, 'bias', None) is not None]
    maximum = combine == 'max'
    if uses_batch(norms[0]):
        group = _group_name(norms[0])
        y, moments = funnel_batch(x, weights, scales, shifts, biases, maximum, norms[0].eps, group)
        for (conv, norm), of_window in zip(windows, moments.detach().unbind()):
            _track(conv, norm, of_window)
        return y
    has_norm = not isinstance(norms[0], nn.Identity)
    means = [norm.running_mean for norm in norms] if has_norm else []
    variances = [norm.running_var for norm in norms] if has_norm else []
    eps = norms[0].eps if has_norm else 0.0
    return funnel_fixed(x, weights, scales, shifts, biases, means, variances, maximum, eps)


def _group_name(norm: nn.Module) -> str:
    """Name of the processes that share a norm's statistics, ``''`` for this one alone."""
    if (
        not isinstance(norm, nn.SyncBatchNorm)
        or not dist.is_available()
        or not dist.is_initialized()
    ):
        return ''
    if not norm.training:
        return ''
    group = norm.process_group or dist.group.WORLD
    return group.group_name if dist.get_world_size(group) > 1 else ''


@torch.no_grad()
def _track(conv: nn.Conv2d, norm: nn.Module, moments: Tensor) -> None:
    """Update running statistics as torch's batch norms do: unbiased variance, cumulative mean for momentum None."""
    if not norm.training or not norm.track_running_stats or norm.running_mean is None:
        return
    momentum = norm.momentum or 0.0
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            momentum = 1.0 / float(norm.num_batches_tracked)
    count, mean, squares = moments
    if conv.bias is not None:
        mean = mean + conv.bias
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_((squares / (count - 1)).to(norm.running_var.dtype), momentum)
