"""Activation checkpointing (``with_cp``) that updates the running statistics only once per step."""

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
        # Count on a copy, because SyncBN requires a counter.
        norm.num_batches_tracked = copy.deepcopy(norm.num_batches_tracked)
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept):
            norm.momentum = momentum
            norm.num_batches_tracked = count


def checkpoint_block(module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Run a block without saving intermediate results for backward; backward runs it again.

    Plain checkpointing updates the running statistics of every batch norm twice per step, once per run. Here the second
    run does not update them. torch.compile moves the updates out of the checkpointed region itself, and does not accept a
    context function here.

    Args:
        module: The block that contains the norms.
        forward: Its computation.
        x: Its input.

    Returns:
        The output of ``forward(x)``.
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
    """Base class of blocks that can be checkpointed. A subclass sets ``with_cp`` and implements :meth:`_block`."""

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
