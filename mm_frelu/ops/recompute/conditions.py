"""What a site must be for its gradient to be computed by hand: plain depthwise convolutions and batch norms.

Anything that a user put onto these modules (hooks, parametrizations, a forward of their own) has to run, so it is a
reason to fall back.
"""

from typing import Optional, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..eager import Window
from ..implementation import has_hooks, is_compiling, why_no_custom_gradient
from ..sum_of_norms import Term
from .autocast import convolution_dtype, is_cast
from .norms import accurate, group_of


def why_not_recompute(x: Tensor, windows: Sequence[Window]) -> Optional[str]:
    """Why a funnel activation cannot be recomputed in backward; None if it can."""
    return why_not_recompute_site([(x, None)], windows)


def why_not_recompute_site(terms: Sequence[Term], windows: Sequence[Window]) -> Optional[str]:
    """Why a site with its norms cannot be recomputed in backward; None if it can.

    Args:
        terms: Features and the norm behind each, or None.
        windows: Convolution and norm of each window.
    """
    x = terms[0][0]
    reason = _why_not_features(terms) or why_no_custom_gradient()
    for u, norm in terms:
        if reason is None and norm is not None:
            reason = why_not_norm(norm, u, u.dtype)
    dtype = convolution_dtype(x)
    for conv, norm in windows:
        reason = reason or _why_not_convolution(conv, x) or why_not_norm(norm, x, dtype)
    return reason


def _why_not_features(terms: Sequence[Term]) -> Optional[str]:
    x = terms[0][0]
    for u, _ in terms:
        if u.dim() != 4 or not u.is_floating_point():
            return f'it takes feature maps of shape (N, C, H, W), not {u.dtype} of {u.dim()} dimensions'
        if u.shape != x.shape or u.dtype != x.dtype:
            return 'the terms differ in shape or type'
    return None


def _why_not_convolution(conv: nn.Module, x: Tensor) -> Optional[str]:
    if type(conv) is not nn.Conv2d:
        return f'a window is a {type(conv).__name__}, not a plain Conv2d'
    channels = x.shape[1]
    plain = (
        conv.groups == conv.in_channels == conv.out_channels == channels
        and conv.stride == (1, 1)
        and conv.padding_mode == 'zeros'
        and all(
            2 * pad == step * (size - 1)
            for pad, step, size in zip(conv.padding, conv.dilation, conv.kernel_size)
        )
    )
    if not plain:
        return 'a window is not a depthwise convolution that keeps the shape of its input'
    if conv.weight.dtype != x.dtype and not is_cast(x):
        return f'a window has weights of {conv.weight.dtype}, the input is {x.dtype}'
    return _why_not_tensors(conv, x) or _why_not_module(conv)


def _why_not_tensors(conv: nn.Conv2d, x: Tensor) -> Optional[str]:
    # Kernels trust these numbers, as nothing stands between them and memory that is not the window's.
    weight, bias = conv.weight, conv.bias
    expected = (conv.out_channels, 1, *conv.kernel_size)
    if weight.shape != expected:
        return (
            f'a window has weights of shape {tuple(weight.shape)}, its convolution says {expected}'
        )
    if bias is not None and (bias.dtype != weight.dtype or bias.shape != weight.shape[:1]):
        return 'the bias of a window differs from its weights in type or length'
    if weight.device != x.device:
        return f'a window is on {weight.device}, the input is on {x.device}'
    return None


def why_not_norm(norm: nn.Module, x: Tensor, dtype: torch.dtype) -> Optional[str]:
    """Why a norm cannot be computed by hand; None if it can.

    Args:
        norm: The module.
        x: Features of the shape of its input, on the same device.
        dtype: Type of its input.
    """
    if isinstance(norm, nn.Identity):
        return _why_not_module(norm)
    name = type(norm).__name__
    batch_norms = (_BatchNorm.forward, nn.SyncBatchNorm.forward)
    if not isinstance(norm, _BatchNorm) or type(norm).forward not in batch_norms:
        return f'{name} is not a batch norm'
    dtype, channels, device = accurate(dtype), x.shape[1:2], x.device
    for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        if value is None:
            continue
        if value.dtype != dtype:
            return f'the values of {name} are not {dtype}'
        if value.shape != channels:
            return f'{name} is not for {x.shape[1]} channels'
        if value.device != device:
            return f'{name} is not on {device}'
    if group_of(norm) is not None and is_compiling():
        return f'{name} talks to other processes, in a compiled graph'
    return _why_not_module(norm)


def _why_not_module(module: nn.Module) -> Optional[str]:
    return (
        f'{type(module).__name__} has hooks or a forward of its own' if has_hooks(module) else None
    )
