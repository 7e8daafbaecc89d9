"""torchvision's compiled ops, if they are installed and work."""

import functools
from types import ModuleType
from typing import Optional

import torch


@functools.cache
def torchvision_ops(device_type: str) -> Optional[ModuleType]:
    """Find ``torchvision.ops`` for a type of device.

    A small call tests whether it works: a torchvision that was built for another torch, or without CUDA, can be imported
    and fails only when an op is called.

    Args:
        device_type: As in ``tensor.device.type``.

    Returns:
        The module, or None if torchvision is missing or broken.
    """
    try:
        from torchvision import ops

        boxes = torch.zeros(1, 4, device=device_type)
        ops.nms(boxes, boxes[:, 0], 0.5)
    except (
        Exception
    ):  # a mismatch may raise ImportError, OSError, RuntimeError or NotImplementedError
        return None
    return ops
