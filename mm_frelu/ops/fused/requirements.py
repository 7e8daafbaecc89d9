"""What the fused kernels need. Every function says why they cannot serve, or None if they can."""

import os
from importlib.metadata import PackageNotFoundError, version
from typing import Optional, Sequence, Tuple

import torch
from mmengine.utils import digit_version
from torch import Tensor, nn

from ..implementation import has_hooks

OLDEST_TRITON = '3.6'
"""The oldest version that the kernels are compiled and tested with."""
LARGEST_WINDOW = 7
DTYPES = (torch.float32, torch.float16, torch.bfloat16)

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
"""Whether Triton's interpreter runs the kernels on the CPU. Triton reads this when a kernel is defined."""


def _why_no_kernels() -> Optional[str]:
    if not hasattr(torch.library, 'custom_op'):
        return f'it needs torch 2.4 or later, found {torch.__version__}'
    try:
        found = version('triton')
    except PackageNotFoundError:
        return 'triton is not installed'
    if digit_version(found) < digit_version(OLDEST_TRITON):
        return f'it needs triton {OLDEST_TRITON} or later, found {found}'
    if not INTERPRETED and not (torch.cuda.is_available() and torch.version.cuda):
        return 'there is no CUDA device'
    return None


WHY_NO_KERNELS = _why_no_kernels()
"""Why this installation has no fused kernels, None if it has them."""


def why_not_funnel(x: Tensor, windows: Sequence[Tuple[nn.Module, nn.Module]]) -> Optional[str]:
    """Why the kernels cannot compute a funnel activation; None if they can.

    Args:
        x: Input of shape (N, C, H, W).
        windows: The windows, each a depthwise convolution and its norm.
    """
    return why_not_features(x) or _why_not_windows(x, windows)


def why_not_features(x: Tensor) -> Optional[str]:
    """Whether the kernels can read a feature map."""
    if WHY_NO_KERNELS is not None:
        return WHY_NO_KERNELS
    if not x.is_cuda and not INTERPRETED:
        return f'the input is on {x.device.type}, the kernels run on CUDA'
    if x.dim() != 4:
        return f'the input has {x.dim()} dimensions, the kernels take (N, C, H, W)'
    if x.dtype not in DTYPES:
        return f'the input is {x.dtype}, the kernels take float32, float16 and bfloat16'
    if x.numel() == 0:
        return 'the input is empty'
    if x.shape[1] * x.shape[2] * x.shape[3] >= 2**31:
        return 'one image has 2**31 values or more'
    return None


def _why_not_windows(x: Tensor, windows: Sequence[Tuple[nn.Module, nn.Module]]) -> Optional[str]:
    shapes = []
    for conv, norm in windows:
        reason = _why_not_conv(x, conv) or _why_not_norm(x, norm)
        if reason is not None:
            return reason
        shapes.append(tuple(conv.kernel_size))
    size = max(max(shape) for shape in shapes)
    if size > LARGEST_WINDOW:
        return f'a window of {size} is larger than {LARGEST_WINDOW}'
    if shapes not in ([(size, size)], [(1, size), (size, 1)]):
        return 'the windows are neither one square nor a row and a column'
    if any(_traits(window) != _traits(windows[0]) for window in windows):
        return 'the windows or their norms differ in kind'
    return None


def _why_not_conv(x: Tensor, conv: nn.Module) -> Optional[str]:
    # Not isinstance: a subclass, and a parametrized layer is one, may compute something else.
    if type(conv) is not nn.Conv2d:
        return f'a window is a {type(conv).__name__}, not a plain Conv2d'
    if has_hooks(conv):
        return 'a window has hooks or a forward of its own'
    padding = tuple(size // 2 for size in conv.kernel_size)
    if (
        conv.groups != x.shape[1]
        or conv.weight.shape[:2] != (x.shape[1], 1)
        or any(size % 2 == 0 for size in conv.kernel_size)
        or tuple(conv.dilation) != (1, 1)
        or tuple(conv.stride) != (1, 1)
        or conv.padding not in (padding, 'same')
        or conv.padding_mode != 'zeros'
    ):
        return 'a window is not odd, depthwise, undilated and zero-padded to keep the shape'
    if conv.weight.device != x.device:
        return f'the input is on {x.device}, the windows on {conv.weight.device}'
    if conv.weight.dtype not in DTYPES:
        return f'the windows are {conv.weight.dtype}'
    if conv.weight.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
        return (
            f'the input is {x.dtype}, the windows are {conv.weight.dtype}, and there is no autocast'
        )
    return None


def _why_not_norm(x: Tensor, norm: nn.Module) -> Optional[str]:
    if has_hooks(norm):
        return 'the norm of a window has hooks or a forward of its own'
    if type(norm) is nn.Identity:
        return None
    if type(norm) not in (nn.BatchNorm2d, nn.SyncBatchNorm):
        return f'the norm of a window is a {type(norm).__name__}, not a batch norm'
    if type(norm) is nn.SyncBatchNorm and norm.training and torch.compiler.is_compiling():
        return 'SyncBatchNorm talks to other processes, in a compiled graph'
    if uses_batch(norm) and x.shape[0] * x.shape[2] * x.shape[3] == 1:
        return 'batch statistics need more than one value per channel'
    if norm.num_features != x.shape[1]:
        return f'the norm of a window has {norm.num_features} channels, the input {x.shape[1]}'
    return None


def uses_batch(norm: nn.Module) -> bool:
    """Whether a norm takes the statistics of the batch."""
    return not isinstance(norm, nn.Identity) and (norm.training or norm.running_mean is None)


def _traits(window: Tuple[nn.Module, nn.Module]) -> Tuple:
    conv, norm = window
    traits = (conv.bias is None, type(norm), uses_batch(norm))
    if isinstance(norm, nn.Identity):
        return traits
    group = getattr(norm, 'process_group', None)
    absent = (norm.weight is None, norm.bias is None, norm.running_mean is None)
    return (*traits, norm.eps, group, *absent)
