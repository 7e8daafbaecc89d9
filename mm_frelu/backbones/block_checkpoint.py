"""Activation checkpointing (``with_cp``) that leaves batch statistics as they would be without it."""

from contextlib import contextmanager, nullcontext
from typing import Callable, Iterator

from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts):
            norm.momentum = momentum
            norm.num_batches_tracked = count


def checkpoint_block(module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Run a block without keeping what backward needs; backward runs it again.

    Plain checkpointing updates the running statistics of every batch norm twice per step, once per run. Here the second
    run leaves them alone.

    Args:
        module: The block, whose norms are looked up.
        forward: Its computation.
        x: Its input.

    Returns:
        What ``forward(x)`` returns.
    """
    return checkpoint(
        forward,
        x,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _statistics_kept(module)),
    )
