"""Launch Triton kernels by address, which takes a third of the host time of ``kernel[grid](...)``."""

import os
from contextlib import nullcontext
from functools import cache
from typing import Any, ContextManager, Dict, Sequence, Tuple

import torch
import triton
from mmengine.logging import print_log
from torch import Tensor
from triton.compiler import ASTSource

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
"""Whether Triton's interpreter runs the kernels on the CPU. Triton reads this when a kernel is defined."""

WIDE_BYTES = 16
"""Bytes that one thread can load at a time. Addresses of feature maps are multiples of it."""

TYPES = {
    torch.float32: 'fp32',
    torch.float16: 'fp16',
    torch.bfloat16: 'bf16',
    torch.int64: 'i64',
}

_compiled: Dict[Tuple, Any] = {}


class Launch:
    """Kernel with its constants and its grid. It is compiled in the first call, or loaded from Triton's cache.

    The types of the arguments must not change between calls, and an argument that is None must always be None. Kernels are not
    specialised on the values of integers, so that other shapes do not need other kernels.

    Args:
        kernel: A ``triton.jit`` function, its ``constexpr`` parameters last.
        grid: Number of programs, in up to three dimensions.
        wide: Names of the parameters that point to feature maps.
        num_warps: Warps of a program.
        **constants: Values of the ``constexpr`` parameters.
    """

    def __init__(
        self,
        kernel: Any,
        grid: Sequence[int],
        wide: Sequence[str] = (),
        num_warps: int = 4,
        **constants: Any,
    ) -> None:
        self.kernel = kernel
        self.grid = (*grid, 1, 1)[:3]
        self.wide = wide
        self.num_warps = num_warps
        self.constants = constants
        self._start: Any = None

    def __call__(self, *args: Any) -> None:
        """Run the kernel on the current stream of the first argument's device.

        Args:
            *args: All arguments but the constants: tensors, integers, floats or None.
        """
        if INTERPRETED:
            self.kernel[self.grid](*args, **self.constants)
            return
        if self._start is None:
            self._start = self._prepare(args)
        pointers = self._start[-1]
        addresses = [arg.data_ptr() if is_one else arg for arg, is_one in zip(args, pointers)]
        with device_of(args[0]):
            self.at(*addresses)

    def at(self, *args: Any) -> None:
        """Run the kernel again, on the current device, with addresses in place of tensors."""
        run, fixed, tail, index, _ = self._start
        run(*self.grid, torch._C._cuda_getCurrentRawStream(index), *fixed, *args, *tail)

    def _prepare(self, args: Sequence[Any]) -> Tuple[Any, Tuple, Tuple, int, Tuple]:
        source = self.source(args)
        device = args[0].device
        key = (self.kernel, device.index, self.num_warps, source.hash())
        if key not in _compiled:
            _tell_once()
            with torch.cuda.device(device):
                compiled = triton.compile(source, options=dict(num_warps=self.num_warps))
                compiled._init_handles()
            _compiled[key] = compiled
        compiled = _compiled[key]
        # No launch metadata and no hooks.
        fixed = compiled.function, compiled.packed_metadata, None, None, None
        tail = (None,) * len(self.constants)
        pointers = tuple(isinstance(arg, Tensor) for arg in args)
        return compiled.run, fixed, tail, device.index, pointers

    def source(self, args: Sequence[Any]) -> ASTSource:
        """Return the source that Triton compiles for arguments like these."""
        signature, constants, attributes = {}, {}, {}
        names = list(self.kernel.arg_names)
        for index, name in enumerate(names):
            if name in self.constants:
                signature[name], constants[(index,)] = 'constexpr', self.constants[name]
                continue
            arg = args[index]
            if arg is None:
                signature[name], constants[(index,)] = 'constexpr', None
            elif isinstance(arg, Tensor):
                signature[name] = '*' + TYPES[arg.dtype]
                if name in self.wide:
                    attributes[(index,)] = [['tt.divisibility', WIDE_BYTES]]
            else:
                signature[name] = 'fp32' if isinstance(arg, float) else 'i32'
        return ASTSource(self.kernel, signature, constants, attributes)


@cache
def _tell_once() -> None:
    print_log(
        'Loading the fused kernels of the activations. Triton compiles them once for this GPU, which takes up to a minute '
        'in the first training step, and finds them in its cache from then on.',
        logger='current',
    )


_here = nullcontext()


def device_of(x: Tensor) -> ContextManager:
    """Return a context in which the device of ``x`` is the current device. It has no cost if it already is."""
    if INTERPRETED or x.device.index == torch._C._cuda_getDevice():
        return _here
    return torch.cuda.device(x.device)


def is_channels_last(x: Tensor) -> bool:
    """Whether features are in channels_last and not in NCHW as well, as those of one channel or one pixel are."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def wide(x: Tensor) -> Tensor:
    """Return features that kernels can read: dense NCHW or channels_last, aligned to 16 bytes."""
    if not x.is_contiguous() and not x.is_contiguous(memory_format=torch.channels_last):
        x = x.contiguous()
    return x if INTERPRETED or x.data_ptr() % WIDE_BYTES == 0 else x.clone()


def laid_out_as(x: Tensor, grad: Tensor) -> Tensor:
    """Return a gradient with the type and memory layout of ``x``. It is copied only if they differ.

    Args:
        x: Dense features.
        grad: Gradient of the same shape.
    """
    same = grad.dtype == x.dtype and (
        grad.stride() == x.stride()
        # Strides of dimensions of size 1 do not matter.
        or all(n == 1 or a == b for n, a, b in zip(x.shape, x.stride(), grad.stride()))
    )
    return wide(grad) if same else torch.empty_like(x).copy_(grad)


@cache
def constants(device: torch.device, length: int) -> Tuple[Tensor, Tensor]:
    """Return ``length`` zeros and ones, which replace the missing tensors of a norm."""
    return torch.zeros(length, device=device), torch.ones(length, device=device)


@cache
def multiprocessors(device: torch.device) -> int:
    """Return the number of multiprocessors, the minimum number of small programs that a device runs at a time."""
    if INTERPRETED:
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count
