"""The type that autocast lets a convolution compute in."""

from typing import Optional

import torch
from torch import Tensor


def autocast_dtype(device_type: str) -> Optional[torch.dtype]:
    """The low precision of the autocast region that we are in, or None outside of one."""
    if device_type == 'meta':  # has no autocast, and torch refuses to be asked
        return None
    try:
        enabled = torch.is_autocast_enabled(device_type)
    except TypeError:  # torch before 2.4 has a function for each device
        return _autocast_dtype_before_2_4(device_type)
    return torch.get_autocast_dtype(device_type) if enabled else None


def _autocast_dtype_before_2_4(device_type: str) -> Optional[torch.dtype]:
    if device_type == 'cpu':
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def is_cast(x: Tensor) -> bool:
    """Whether autocast decides the type in which a convolution of ``x`` computes; it leaves double precision alone."""
    return x.dtype != torch.float64 and autocast_dtype(x.device.type) is not None


def convolution_dtype(x: Tensor) -> torch.dtype:
    """The type in which a convolution of ``x`` computes."""
    return autocast_dtype(x.device.type) if is_cast(x) else x.dtype
