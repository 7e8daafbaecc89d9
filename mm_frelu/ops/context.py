"""Context of a call: autocast, compiled or exported graphs, and transforms that only torch's own ops support."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx import _symbolic_trace

# Without this function (torch before 2.3), torch.compile falls back to graph breaks.
is_compiling = getattr(torch.compiler, 'is_compiling', lambda: False)
# Later versions deprecate the old name.
is_fx_tracing = getattr(_symbolic_trace, 'is_fx_symbolic_tracing', _symbolic_trace.is_fx_tracing)
HAS_AUTOCAST_PER_DEVICE = hasattr(torch, 'get_autocast_dtype')
# Older versions have no such function.
_is_legacy_batched = getattr(
    torch._C._functorch,
    'is_legacy_batchedtensor',
    lambda tensor: 'Batched' in str(torch._C._dispatch_keys(tensor)),
)


class Context(NamedTuple):
    """State of torch that the choice of a backend depends on, in addition to the layer and its input."""

    has_transform: bool
    has_forward_mode: bool
    has_dispatch_mode: bool

    @classmethod
    def now(cls) -> 'Context':
        """Return the current context."""
        return cls(
            torch._C._functorch.peek_interpreter_stack() is not None,
            forward_ad._current_level >= 0,
            bool(torch._C._len_torch_dispatch_stack()),
        )

    def unsupported_reason(self) -> Optional[str]:
        """Return why only torch's ops can be used, or None if a hand-written gradient can be used."""
        if self.has_transform:
            return 'a torch.func transform is active'
        if self.has_forward_mode:
            return 'forward-mode differentiation is active'
        return None


def is_exporting() -> bool:
    """Whether a graph is being traced by ``torch.jit`` or ``torch.fx``, or exported to ONNX."""
    if is_compiling():
        return False
    return torch.jit.is_tracing() or is_fx_tracing()


def is_torch_export() -> bool:
    """Whether ``torch.export`` traces a graph. ``torch.compiler.is_exporting`` is also True in torch.compile up to torch 2.12."""
    return getattr(torch.compiler, '_is_exporting_flag', False)


def is_several(grad: Tensor) -> bool:
    """Whether a gradient is a batch of gradients, as with ``is_grads_batched`` or in a vectorised Jacobian.

    Only torch's own ops support it.
    """
    return torch._C._functorch.is_batchedtensor(grad) or _is_legacy_batched(grad)


def autocast_dtype(device_type: str) -> Optional[torch.dtype]:
    """Return the type of the current autocast region, or None outside of one."""
    if device_type == 'meta':  # has no autocast, and torch raises an error
        return None
    if not HAS_AUTOCAST_PER_DEVICE:
        return _autocast_dtype_before_2_4(device_type)
    return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None


def _autocast_dtype_before_2_4(device_type: str) -> Optional[torch.dtype]:
    if device_type == 'cpu':
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def convolution_dtype(x: Tensor) -> Tuple[torch.dtype, bool]:
    """Return the type in which a convolution of ``x`` computes, and whether autocast determines it. It ignores float64."""
    low = None if x.dtype == torch.float64 else autocast_dtype(x.device.type)
    return (x.dtype, False) if low is None else (low, True)
