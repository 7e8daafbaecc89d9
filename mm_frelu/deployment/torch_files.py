"""Writing a network as TorchScript, and as a program of ``torch.export``."""

import io
import json
import warnings
from typing import Any, Dict

import torch
from torch import Tensor

from .networks import Network

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
    """
    sizes = dict.fromkeys((2, 3), torch.export.Dim.AUTO)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.export.export(
            network, (image,), dynamic_shapes=(sizes,) if dynamic else None
        )
        torch.export.save(program, stream, extra_files={DESCRIPTION: json.dumps(description)})
    return stream.getvalue()
