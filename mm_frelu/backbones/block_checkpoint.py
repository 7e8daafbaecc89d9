"""Activation checkpointing (``with_cp``) that leaves batch statistics as they would be without it."""

import copy
from contextlib import contextmanager, nullcontext
from typing import Callable, Iterator

import torch
from mmengine.model import BaseModule
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..ops.context import is_compiling


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        # A copy to count on: SyncBN insists on having one.
        norm.num_batches_tracked = copy.deepcopy(norm.num_batches_tracked)
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept):
            norm.momentum = momentum
            norm.num_batches_tracked = count


def checkpoint_block(module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Run a block without keeping what backward needs; backward runs it again.

    Plain checkpointing updates the running statistics of every batch norm twice per step, once per run. Here the second
    run leaves them alone. The compiler moves those updates out of the checkpointed part, so it needs no help (and takes
    no context).

    Args:
        module: The block, whose norms are looked up.
        forward: Its computation.
        x: Its input.

    Returns:
        What ``forward(x)`` returns.
    """
    if is_compiling():
        return checkpoint(forward, x, use_reentrant=False)
    return checkpoint(
        forward,
        x,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _statistics_kept(module)),
    )


class CheckpointedBlock(BaseModule):
    """Base of the blocks that can be checkpointed. A subclass sets ``with_cp`` and computes in :meth:`_block`."""

    with_cp: bool

    def _block(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Run the block.

        Args:
            x: Features of shape (N, in_channels, H, W).

        Returns:
            Features of shape (N, out_channels, H / stride, W / stride).
        """
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint_block(self, self._block, x)
        return self._block(x)
