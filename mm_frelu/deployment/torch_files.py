"""Export a network to TorchScript and with ``torch.export``."""

import io
import json
import warnings
from typing import Any, Dict

import torch
from torch import Tensor

from .networks import Network

DESCRIPTION = 'mm_frelu.json'
"""Name of the extra file with the description in the archives of both formats."""


def to_torchscript(network: Network, image: Tensor, description: Dict[str, Any]) -> bytes:
    """Export a network to TorchScript by tracing.

    Args:
        network: The network.
        image: Pixels of shape (1, 3, H, W) for tracing. The file also supports other sizes.
        description: Description to store in the file.

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
        image: Pixels of shape (1, 3, H, W) for tracing.
        dynamic: Whether the file supports other heights and widths.
        description: Description to store in the file.

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
