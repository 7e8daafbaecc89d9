"""The memory that a training step keeps from forward to backward, counted, not sampled."""

from typing import Any, Dict

import torch
from torch import nn


def kept_bytes(model: nn.Module, *inputs: Any, **options: Any) -> int:
    """Bytes that a training forward keeps for backward, its own parameters and statistics not counted.

    Every tensor that autograd saves is added up once. It is what a training step keeps beside parameters, gradients and
    optimizer state. It depends neither on the machine nor on what else runs there, as resident memory does.

    Args:
        model: The network; on torch's meta device nothing is computed.
        *inputs: What it is called with.
        **options: Keyword arguments that it is called with.
    """
    storages: Dict[int, int] = {}
    owned = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    # Storages are told apart by their address, so none may be freed before the count is done.
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
