"""The fused funnel activation with statistics of two processes; run by test_fused.py, through Triton's interpreter."""

from pathlib import Path

import torch
import torch.distributed as dist
from fused_cases import Case, build, compare, features, fused_funnel, reference, results
from torch import nn
from torch.nn.parallel import DistributedDataParallel

CASE = Case((3, 2, 1, 5))
SHARES = (slice(0, 1), slice(1, 3))
"""Images of each process: not the same number."""


class Activation(nn.Module):
    """The layer, computed by the kernels."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return fused_funnel(x, self.layer.windows, self.layer.combine)


def run(model: nn.Module, layer: nn.Module, rank: int) -> dict:
    """What one process finds for its share of the batch."""
    x = features(CASE)[SHARES[rank]].clone().requires_grad_()
    y = model(x)
    y.backward(features(CASE, seed=1)[SHARES[rank]])
    found = {'y': y.detach(), 'x.grad': x.grad}
    found.update((f'{name}.grad', p.grad) for name, p in layer.named_parameters())
    found.update(layer.named_buffers())
    return found


def work(rank: int, folder: str) -> None:
    store = dist.FileStore(f'{folder}/store', 2)
    dist.init_process_group('gloo', store=store, rank=rank, world_size=2)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(build(CASE))
    alone = build(CASE)
    found = dict(
        synchronised=run(Activation(synchronised), synchronised, rank),
        # DDP takes no SyncBatchNorm on the CPU.
        parallel=run(DistributedDataParallel(Activation(alone)), alone, rank),
    )
    torch.save(found, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def drop_conv_biases(*found: dict) -> None:
    """The statistics take a bias out again: its gradient is zero but for rounding."""
    for tensors in found:
        for name in [name for name in tensors if 'conv' in name and name.endswith('bias.grad')]:
            tensors.pop(name)


def test_two_processes(tmp_path: Path) -> None:
    """With synchronised norms they give what one process gives for the whole batch. DDP finds a gradient everywhere."""
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    x, grad = features(CASE).double(), features(CASE, seed=1).double()
    whole = results(reference, build(CASE).double(), x, grad)
    halves = [results(reference, build(CASE).double(), x[own], grad[own]) for own in SHARES]
    drop_conv_biases(whole, *halves, *(part[kind] for part in parts for kind in part))

    first, second = (part['synchronised'] for part in parts)
    together = {
        name: first[name] + second[name]
        if name.endswith(('weight.grad', 'bias.grad'))
        else first[name]
        for name in first
    }
    for name in ('y', 'x.grad'):
        together[name] = torch.cat([first[name], second[name]])
    compare(together, whole, 2e-5)
    compare(
        {name: first[name] for name in first if 'running' in name},
        {name: second[name] for name in second if 'running' in name},
        0,
    )

    for name in halves[0]:
        if not name.endswith('.grad') or name == 'x.grad':
            continue
        mean = (halves[0][name] + halves[1][name]) / 2
        for part in parts:
            compare({name: part['parallel'][name]}, {name: mean}, 2e-5)
