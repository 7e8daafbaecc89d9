"""What is at work around a call: autocast, a compiled or exported graph, transforms that only the ops themselves know."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx import _symbolic_trace

# torch before 2.3 compiles what it can of a call, in pieces.
is_compiling = getattr(torch.compiler, 'is_compiling', lambda: False)
# Later ones warn of the old name.
is_fx_tracing = getattr(_symbolic_trace, 'is_fx_symbolic_tracing', _symbolic_trace.is_fx_tracing)
HAS_AUTOCAST_PER_DEVICE = hasattr(torch, 'get_autocast_dtype')
# Older ones have no function for it.
_is_legacy_batched = getattr(
    torch._C._functorch,
    'is_legacy_batchedtensor',
    lambda tensor: 'Batched' in str(torch._C._dispatch_keys(tensor)),
)


class Context(NamedTuple):
    """What a choice of a backend depends on beside the layer and its input."""

    has_transform: bool
    has_forward_mode: bool
    has_dispatch_mode: bool

    @classmethod
    def now(cls) -> 'Context':
        """The present one."""
        return cls(
            torch._C._functorch.peek_interpreter_stack() is not None,
            forward_ad._current_level >= 0,
            bool(torch._C._len_torch_dispatch_stack()),
        )

    def unsupported_reason(self) -> Optional[str]:
        """Why only the ops themselves can serve; None if a hand-written gradient can."""
        if self.has_transform:
            return 'a torch.func transform is active'
        if self.has_forward_mode:
            return 'forward-mode differentiation is active'
        return None


def is_exporting() -> bool:
    """Whether a graph is being traced by ``torch.jit`` or ``torch.fx``, or exported to ONNX."""
    if is_compiling():
        return False
    return torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() or is_fx_tracing()


def is_torch_export() -> bool:
    """Whether ``torch.export`` traces a graph. Of ``is_exporting`` itself torch.compile says True up to torch 2.12."""
    return getattr(torch.compiler, '_is_exporting_flag', False)


def is_several(grad: Tensor) -> bool:
    """Whether a gradient stands for several, as in backward with ``is_grads_batched`` or of a vectorised Jacobian.

    Only what autograd itself is made of can compute with it.
    """
    return torch._C._functorch.is_batchedtensor(grad) or _is_legacy_batched(grad)


def autocast_dtype(device_type: str) -> Optional[torch.dtype]:
    """The low precision of the autocast region that we are in, or None outside of one."""
    if device_type == 'meta':  # has no autocast, and torch refuses to be asked
        return None
    if not HAS_AUTOCAST_PER_DEVICE:
        return _autocast_dtype_before_2_4(device_type)
    return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None


def _autocast_dtype_before_2_4(device_type: str) -> Optional[torch.dtype]:
    if device_type == 'cpu':
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def convolution_dtype(x: Tensor) -> Tuple[torch.dtype, bool]:
    """The type in which a convolution of ``x`` computes, and whether autocast says so; it leaves double precision alone."""
    low = None if x.dtype == torch.float64 else autocast_dtype(x.device.type)
    return (x.dtype, False) if low is None else (low, True)
