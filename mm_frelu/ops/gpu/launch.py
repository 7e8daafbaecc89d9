"""Launching a Triton kernel by address, which takes a third of the host time of ``kernel[grid](...)``."""

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
"""What one thread can load at a time. Feature maps begin at a multiple of it."""

TYPES = {
    torch.float32: 'fp32',
    torch.float16: 'fp16',
    torch.bfloat16: 'bf16',
    torch.int64: 'i64',
}

_compiled: Dict[Tuple, Any] = {}


class Launch:
    """A kernel with its constants and its grid. It is compiled at the first call, and found in Triton's cache later.

    The types of the arguments must not change from call to call, and an argument that was None stays None. Nothing is
    specialized on the values of integers, so that another shape needs no other kernel.

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
        """What Triton compiles for arguments like these."""
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
    """The context in which the device of ``x`` is the current one. That costs nothing if it is."""
    if INTERPRETED or x.device.index == torch._C._cuda_getDevice():
        return _here
    return torch.cuda.device(x.device)


def wide(x: Tensor) -> Tensor:
    """The features in memory that kernels can read: NCHW or channels_last without gaps, from a multiple of 16 bytes on."""
    if not x.is_contiguous() and not x.is_contiguous(memory_format=torch.channels_last):
        x = x.contiguous()
    return x if INTERPRETED or x.data_ptr() % WIDE_BYTES == 0 else x.clone()


def laid_out_as(x: Tensor, grad: Tensor) -> Tensor:
    """A gradient in the type and the order in memory of ``x``: itself if it is, otherwise a copy.

    Args:
        x: Features without gaps in memory.
        grad: Gradient of something of their shape.
    """
    same = grad.dtype == x.dtype and (
        grad.stride() == x.stride()
        # Strides of dimensions of size 1 mean nothing.
        or all(n == 1 or a == b for n, a, b in zip(x.shape, x.stride(), grad.stride()))
    )
    return wide(grad) if same else torch.empty_like(x).copy_(grad)


@cache
def constants(device: torch.device, length: int) -> Tuple[Tensor, Tensor]:
    """``length`` zeros and as many ones, for what a norm does not have."""
    return torch.zeros(length, device=device), torch.ones(length, device=device)


@cache
def multiprocessors(device: torch.device) -> int:
    """How many programs of a few warps a device runs at a time, at the least."""
    if INTERPRETED:
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count
