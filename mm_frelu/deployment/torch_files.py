"""Writing a network as TorchScript, and as a program of ``torch.export``."""

import io
import json
import warnings
from typing import Any, Dict

import torch
from torch import Tensor

from mm_frelu.engine.errors import UserError

from .networks import DetectionBoxes, Network

DESCRIPTION = 'mm_frelu.json'
"""Name of the extra file with the description inside the archives of both formats."""


def to_torchscript(network: Network, image: Tensor, description: Dict[str, Any]) -> bytes:
    """Trace a network.

    Args:
        network: The network.
        image: Pixels of shape (1, 3, H, W) to trace with. The file takes other sizes, too.
        description: What goes into the file beside it.

    Returns:
        The content of a file for ``torch.jit.load``.
    """
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')
        traced = torch.jit.trace(network, (image,), check_trace=False)
        torch.jit.save(traced, stream, _extra_files={DESCRIPTION: json.dumps(description)})
    return stream.getvalue()


def to_exported(
    network: Network, image: Tensor, dynamic: bool, description: Dict[str, Any]
) -> bytes:
    """Export a network with ``torch.export``.

    Args:
        network: The network.
        image: Pixels of shape (1, 3, H, W) to export with.
        dynamic: Whether the program takes other heights and widths.
        description: What goes into the file beside it.

    Returns:
        The content of a file for ``torch.export.load``.

    Raises:
        UserError: For boxes, as a program of torch.export has no loop for NMS.
    """
    if isinstance(network, DetectionBoxes):
        raise UserError(
            'A program of torch.export has no NMS. Use --format onnx or torchscript for boxes, or --part backbone.'
        )
    shapes = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO} if dynamic else None
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.export.export(network, (image,), dynamic_shapes=({**shapes},) if shapes else None)
        torch.export.save(program, stream, extra_files={DESCRIPTION: json.dumps(description)})
    return stream.getvalue()
