"""Statistics of a batch that is distributed over several processes, for SyncBN."""

from typing import Any, Tuple

import torch
import torch.distributed as dist
from torch import Tensor


def merge_moments(
    mean: Tensor, var: Tensor, count: int, group: Any
) -> Tuple[Tensor, Tensor, Tensor]:
    """Compute mean, biased variance and number of values of the batches of all processes (Chan, Golub and LeVeque, 1979).

    Args:
        mean: Mean of the batch of this process, of shape (C,).
        var: Its biased variance.
        count: Its number of values per channel.
        group: The process group.
    """
    own = torch.cat([mean, var, mean.new_full((1,), count)])
    every = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(every, own, group=group)
    means, variances, counts = torch.stack(every).split([len(mean), len(mean), 1], dim=1)
    total = counts.sum()
    joint = (means * counts).sum(0) / total
    spread = (counts * (variances + (means - joint) ** 2)).sum(0) / total
    return joint, spread, total


def merge_means(means: Tensor, count: int, group: Any) -> Tensor:
    """Compute means over the batches of all processes.

    Args:
        means: Means over the batch of this process, of shape (numbers, C).
        count: Its number of values per channel.
        group: The process group.
    """
    joint = torch.cat([means * count, means.new_full((1, means.shape[1]), count)])
    dist.all_reduce(joint, group=group)
    return joint[:-1] / joint[-1]
