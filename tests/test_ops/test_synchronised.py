"""SyncBN and DDP: two processes with half of the batch each compute what one does with all of it."""

import copy
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from funnel_cases import build
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

LAYERS = ('FReLU', 'LightFReLU max')
SAMPLES = 5


def check_ddp(layer, state, x):
    """DDP's gradient is the mean of those that the processes have alone."""
    layer.load_state_dict(state)
    alone = copy.deepcopy(layer)
    alone(x).square().sum().backward()
    parallel = DistributedDataParallel(layer)
    parallel(x).square().sum().backward()
    for parameter, own in zip(layer.parameters(), alone.parameters()):
        dist.all_reduce(own.grad)
        assert_close(parameter.grad, own.grad / 2)


def with_norm_before(layer, norm, states, x):
    """Gradients and statistics of a layer behind a norm; those of parameters summed over the processes."""
    layer.load_state_dict(states['FReLU'])
    norm.double()
    leaf = x.clone().requires_grad_()
    layer.after_norms([(leaf, norm)]).square().sum().backward()
    parameters = [*layer.parameters(), *norm.parameters()]
    if dist.is_initialized():
        for parameter in parameters:
            dist.all_reduce(parameter.grad)
    grads = [parameter.grad for parameter in parameters]
    return [leaf.grad, *grads, *layer.buffers(), *norm.buffers()]


def worker(rank, port, states, x, split, out):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    found = {}
    for name in LAYERS:
        layer = build(name, 'SyncBN, one process', 4, True)
        layer.load_state_dict(states[name])
        own = (x[:split] if rank == 0 else x[split:]).clone().requires_grad_()
        layer(own).square().sum().backward()
        assert layer.live.name == 'recompute'
        # By hand: torch's DDP takes no SyncBN on a CPU.
        for parameter in layer.parameters():
            dist.all_reduce(parameter.grad)
        found[name] = [own.grad, *(p.grad for p in layer.parameters()), *layer.buffers()]
        check_ddp(build(name, 'BN', 4, True), states[name], own.detach())
    found['norm before'] = with_norm_before(
        build('FReLU', 'SyncBN, one process', 4, True),
        nn.SyncBatchNorm(4),
        states,
        x[:split] if rank == 0 else x[split:],
    )
    torch.save(found, out[rank])
    dist.destroy_process_group()


@pytest.mark.parametrize('split', [2, SAMPLES])
def test_two_processes_equal_one(split, tmp_path):
    """The processes have batches of different size. One may be empty, as in a head whose process has no positive samples."""
    torch.manual_seed(0)
    x = torch.randn(SAMPLES, 4, 6, 5, dtype=torch.float64) + 1
    layers = {name: build(name, 'BN', 4, True, implementation='eager') for name in LAYERS}
    states = {
        name: {key: value.clone() for key, value in layer.state_dict().items()}
        for name, layer in layers.items()
    }
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    files = [str(tmp_path / f'{rank}.pth') for rank in range(2)]
    mp.spawn(worker, (port, states, x, split, files), nprocs=2)
    first, second = (torch.load(path) for path in files)
    for name, layer in layers.items():
        leaf = x.clone().requires_grad_()
        layer(leaf).square().sum().backward()
        assert_close(torch.cat([first[name][0], second[name][0]]), leaf.grad)
        expected = [*(p.grad for p in layer.parameters()), *layer.buffers()]
        for ours, again, value in zip(first[name][1:], second[name][1:], expected):
            assert_close(ours, value)
            assert_close(again, value)
    expected = with_norm_before(
        build('FReLU', 'BN', 4, True, implementation='eager'), nn.BatchNorm2d(4), states, x
    )
    grad, *rest = zip(first['norm before'], second['norm before'])
    assert_close(torch.cat(grad), expected[0])
    for pair, value in zip(rest, expected[1:]):
        for ours in pair:
            assert_close(ours, value)
