"""Launching a Triton kernel on the device of its tensors."""

from contextlib import nullcontext
from typing import Any, Tuple, Union

import torch
from torch import Tensor


def call(
    kernel: Any, programs: Union[int, Tuple[int, ...]], first: Tensor, *args: Any, **constants: Any
) -> None:
    """Run a kernel.

    Args:
        kernel: A ``triton.jit`` function.
        programs: Size of the grid.
        first: The kernel's first argument, whose device is the one to run on.
        *args: Its other arguments; a tuple for one thing per window.
        **constants: Its ``constexpr`` arguments.
    """
    grid = programs if isinstance(programs, tuple) else (programs,)
    with torch.cuda.device(first.device) if first.is_cuda else nullcontext():
        kernel[grid](first, *args, num_warps=4, **constants)


def dense(x: Tensor) -> Tensor:
    """X itself if it is NCHW or channels_last in memory without gaps, otherwise a copy that is."""
    if x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous()
