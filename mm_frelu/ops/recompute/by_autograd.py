"""Gradients by autograd itself, of something that is computed again op by op.

They can in turn be differentiated, for ``create_graph=True``, and take several gradients at once, for ``is_grads_batched``.
"""

from typing import Callable, List, Optional, Sequence

import torch
from torch import Tensor


def gradients_by_autograd(
    compute: Callable[[Sequence[Optional[Tensor]]], Tensor],
    tensors: Sequence[Optional[Tensor]],
    wanted: Sequence[bool],
    grad: Tensor,
) -> List[Optional[Tensor]]:
    """Gradients of some tensors, with a graph behind them where gradients are enabled.

    Args:
        compute: What is differentiated.
        tensors: Its arguments, in a row.
        wanted: Which of them need a gradient.
        grad: Gradient of its value.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views stand for the tensors: where one of them serves two purposes, each gets its own gradient.
        stand_ins = [
            tensor.view_as(tensor) if needed else tensor for tensor, needed in zip(tensors, wanted)
        ]
        out = compute(stand_ins)
    sources = [tensor for tensor, needed in zip(stand_ins, wanted) if needed]
    grads = torch.autograd.grad(out, sources, grad, create_graph=create_graph, allow_unused=True)
    rest = iter(grads)
    return [next(rest) if needed else None for needed in wanted]
