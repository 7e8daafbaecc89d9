"""Count the memory that a training step saves for backward."""

from typing import Any, Dict

import torch
from torch import nn


def kept_bytes(model: nn.Module, *inputs: Any, **options: Any) -> int:
    """Count the bytes that a training forward saves for backward, without parameters and statistics of the model.

    Every tensor that autograd saves is counted once. A training step needs this memory in addition to parameters, gradients and
    optimizer state. Unlike resident memory, it does not depend on the machine or on other processes.

    Args:
        model: The network. On torch's meta device nothing is computed.
        *inputs: Arguments of its forward.
        **options: Keyword arguments of its forward.
    """
    storages: Dict[int, int] = {}
    owned = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    # Storages are identified by their address, so none may be freed before the end of the count.
    alive = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        alive.append(storage)
        storages[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        outputs = model(*inputs, **options)
    del outputs
    return sum(size for address, size in storages.items() if address not in owned)
