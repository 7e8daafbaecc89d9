"""torchvision's compiled ops, where they are installed and work."""

import functools
from types import ModuleType
from typing import Optional

import torch


@functools.cache
def torchvision_ops(device_type: str) -> Optional[ModuleType]:
    """Find ``torchvision.ops`` for a kind of device.

    One tiny call shows whether it works: a torchvision that was built for another torch, or without CUDA, imports
    well and fails only when an op is used.

    Args:
        device_type: As in ``tensor.device.type``.

    Returns:
        The module, or None where torchvision is missing or broken.
    """
    try:
        from torchvision import ops

        boxes = torch.zeros(1, 4, device=device_type)
        ops.nms(boxes, boxes[:, 0], 0.5)
    except (
        Exception
    ):  # ImportError, OSError, RuntimeError, NotImplementedError: a mismatch has many faces
        return None
    return ops
