"""Two processes with half of the batch each compute the same as one process with the whole batch, including running statistics."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner import set_random_seed
from ports import free_port
from tiny_project import HEIGHT, WIDTH, segmentation
from torch import nn
from torch.testing import assert_close

import mm_frelu  # noqa: F401
from mm_frelu.engine import SyncStatisticsHook
from mm_frelu.engine.sync_statistics import moving_statistics
from mm_frelu.registry import MODELS

pytestmark = pytest.mark.xdist_group('two_processes')  # one process: the fixture is expensive
ACTIVATIONS = ('FReLU', 'DyReLUB')


def build(activation: str, window_norm: str, implementation: str = 'auto') -> nn.Module:
    """PSPNet in double precision, with fixed norms in the backbone (BN in evaluation mode) and GN in the heads."""
    settings = segmentation('nowhere', activation)['model']
    backbone = dict(norm_cfg=dict(type='BN'), norm_eval=True, act_norm_eval=False)
    settings['backbone'].update(backbone)
    settings['backbone']['act_cfg']['implementation'] = implementation
    if activation == 'FReLU':
        settings['backbone']['act_cfg']['norm_cfg'] = dict(type=window_norm)
    for head in ('decode_head', 'auxiliary_head'):
        settings[head].update(norm_cfg=dict(type='GN', num_groups=2), dropout_ratio=0)
    init_default_scope('mmseg')
    set_random_seed(0)
    model = MODELS.build(ConfigDict(settings))
    model.init_weights()
    for parameter in model.parameters():  # no scale of zero, which would make gradients vanish
        parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return model.double().train()


def batch():
    """Four images and their labels; each pixel counts, so that the mean of two means is the mean."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 3, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)
    return images, torch.randint(19, (4, 1, HEIGHT, WIDTH), generator=generator)


def step(model: nn.Module, images, labels):
    """Gradients and buffers after one backward."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    loss, _ = model.parse_losses(model(images, samples, mode='loss'))
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return gradients, dict(model.named_buffers())


class Run:
    """The attributes of a Runner that the hook reads."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


def statistics_after(model: nn.Module, inputs, every: bool):
    """Running statistics after some iterations, averaged in each or after the last."""
    model, hook = copy.deepcopy(model), SyncStatisticsHook()
    for index, x in enumerate(inputs):
        model(x)
        if every or index == len(inputs) - 1:
            hook.after_train_iter(Run(model), batch_idx=index)
    return list(model.buffers())


def worker(rank: int, port: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    found = {}
    images, labels = batch()
    own = slice(0, 2) if rank == 0 else slice(2, 4)
    for activation in ACTIVATIONS:
        gradients, buffers = step(build(activation, 'SyncBN'), images[own], labels[own])
        # Average like DDP, which does not support SyncBN on a CPU.
        for gradient in gradients.values():
            dist.all_reduce(gradient)
            gradient /= 2
        found[activation] = gradients, buffers

    torch.manual_seed(rank)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.InstanceNorm2d(4))
    model.load_state_dict(torch.load(f'{folder}/model.pth'))
    inputs = torch.randn(3, 2, 3, 5, 5) * (rank + 1)
    alone = copy.deepcopy(model)
    for x in inputs:
        alone(x)
    found['each, last, alone'] = (
        statistics_after(model, inputs, True),
        statistics_after(model, inputs, False),
        list(alone.buffers()),
    )
    torch.save(found, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    """The results of two processes."""
    folder = tmp_path_factory.mktemp('two')
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.InstanceNorm2d(4))
    torch.save(model.state_dict(), folder / 'model.pth')
    mp.spawn(worker, (free_port(), str(folder)), nprocs=2)
    return [torch.load(folder / f'{rank}.pth') for rank in range(2)]


@pytest.fixture(autouse=True)
def _scope():
    yield
    DefaultScope._instance_dict.clear()


@pytest.mark.parametrize('activation', ACTIVATIONS)
def test_a_network_equals_one_process(activation, two):
    """Gradients and running statistics, with SyncBN in the windows, within 1e-9 of each tensor's largest value."""
    gradients, buffers = step(build(activation, 'BN', 'eager'), *batch())
    assert len(gradients) > 60
    for found in two:
        for expected, values in zip((gradients, buffers), found[activation]):
            assert values.keys() == expected.keys()
            for name, value in expected.items():
                assert values[name] is not None, f'{name} has no gradient'
                # Gradients of biases before a norm over the batch are zero, but for rounding.
                bound = 1e-9 * value.abs().max().item() + 1e-12
                assert_close(values[name], value, rtol=0, atol=bound, msg=lambda m, n=name: n + m)


def test_averages_are_those_of_all_batches_however_often_they_are_taken(two):
    (each, last, first), (again, _, second) = (found['each, last, alone'] for found in two)
    mean, var, count = each
    assert not torch.equal(first[0], second[0])
    for index, value in enumerate((mean, var)):
        assert_close(value, (first[index] + second[index]) / 2)
        assert_close(value, last[index])
        assert torch.equal(value, again[index])
    assert count == first[2] == 3


def test_what_does_not_move_or_agrees_already_is_left_out():
    model = nn.ModuleList(
        [
            nn.BatchNorm2d(2),
            nn.BatchNorm2d(2).eval(),
            nn.BatchNorm2d(2, track_running_stats=False),
            nn.SyncBatchNorm(2),
            nn.InstanceNorm2d(2),
            nn.InstanceNorm2d(2, track_running_stats=True),
            nn.GroupNorm(1, 2),
        ]
    )
    expected = [getattr(model[i], f'running_{word}') for i in (0, 5) for word in ('mean', 'var')]
    found = moving_statistics(model)
    assert [id(tensor) for tensor in found] == [id(tensor) for tensor in expected]
