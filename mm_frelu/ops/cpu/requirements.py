"""What the CPU kernels need. Every function says why they cannot serve, or None if they can."""

from typing import Optional, Sequence

import torch
from torch import Tensor, nn

from ..eager import Window
from ..implementation import is_compiling
from ..recompute.autocast import convolution_dtype
from ..recompute.conditions import why_not_recompute_site
from ..recompute.norms import group_of
from ..sum_of_norms import Term
from .loading import why_no_kernels

DTYPES = (torch.float32, torch.float64)
MOST_TERMS = MOST_WINDOWS = 2
COLUMNS = (1, 3, 5, 7)
FARTHEST, LEAST_SIDE = 4, 8
"""How many sides of the image a window may reach beyond it: the zeros around a plane take memory. Smaller images count as
one of the least side."""


def why_not_numba(x: Tensor, windows: Sequence[Window]) -> Optional[str]:
    """Why the kernels cannot compute a funnel activation; None if they can."""
    return why_not_numba_site([(x, None)], windows)


def why_not_numba_site(terms: Sequence[Term], windows: Sequence[Window]) -> Optional[str]:
    """Why the kernels cannot compute a site with its norms; None if they can.

    Args:
        terms: Features and the norm behind each, or None.
        windows: Convolution and norm of each window.
    """
    return (
        _why_not_features([u for u, _ in terms])
        or why_not_recompute_site(terms, windows)
        or _why_not_windows([conv for conv, _ in windows], terms[0][0].shape[2:])
        or _why_not_norms([norm for _, norm in [*terms, *windows]])
        or why_no_kernels()
    )


def _why_not_features(terms: Sequence[Tensor]) -> Optional[str]:
    if is_compiling():
        return 'a graph is being compiled'
    if torch._C._len_torch_dispatch_stack():
        # FakeTensorMode, make_fx and the like: they would not see the loops, and record a graph without them.
        return 'a TorchDispatchMode looks at every operator'
    if len(terms) > MOST_TERMS:
        return f'{len(terms)} terms are added before it'
    for u in terms:
        if u.device.type != 'cpu':
            return f'the input is on {u.device.type}'
        if u.dtype not in DTYPES:
            return f'the input is {u.dtype}, the kernels take float32 and float64'
        if convolution_dtype(u) != u.dtype:
            return f'autocast asks for {convolution_dtype(u)}, the kernels take float32 and float64'
        if type(u) not in (Tensor, nn.Parameter):
            return f'the input is a {type(u).__name__}, which may have no memory of its own'
        if u.dim() == 4 and not u.is_contiguous() and _is_channels_last(u):
            return 'the input is channels_last, the kernels take NCHW'
    return None


def _is_channels_last(u: Tensor) -> bool:
    return u.is_contiguous(memory_format=torch.channels_last)


def _why_not_windows(convs: Sequence[nn.Conv2d], image: Sequence[int]) -> Optional[str]:
    if len(convs) > MOST_WINDOWS:
        return f'there are {len(convs)} windows, the kernels take one or two'
    for conv in convs:
        rows, columns = conv.kernel_size
        if rows % 2 == 0 or columns not in COLUMNS:
            return f'a window has {rows} rows and {columns} columns, the kernels take odd sizes up to {COLUMNS[-1]} columns'
        if any(pad > FARTHEST * max(side, LEAST_SIDE) for pad, side in zip(conv.padding, image)):
            return f'a window reaches {max(conv.padding)} pixels beyond features of {image[0]}x{image[1]}'
    return None


def _why_not_norms(norms: Sequence[Optional[nn.Module]]) -> Optional[str]:
    for norm in norms:
        if group_of(norm) is not None:
            return 'a norm shares its statistics with other processes'
    return None
