"""The fused funnel activation with statistics that several processes share, through Triton's interpreter."""

import pytest
import torch
import torch.distributed as dist
from devices import INTERPRETED, RUNS_KERNELS
from fused_funnel_cases import (
    Case,
    Definition,
    Site,
    compare,
    inputs,
    random,
    results,
    without_zeros,
)
from torch import nn
from torch.nn.parallel import DistributedDataParallel

pytestmark = [
    *RUNS_KERNELS,
    pytest.mark.xdist_group('synchronised'),  # one process: the fixture is expensive
    pytest.mark.skipif(not INTERPRETED, reason='two processes of gloo on the CPU'),
]
ALONE = Case((3, 2, 1, 5))
BEHIND_NORMS = Case(ALONE.shape, ('batch', 'batch'))
SHORTCUT = Case(ALONE.shape, ('batch', None), light='sum')
SYNCHRONISED = {'alone': ALONE, 'behind norms': BEHIND_NORMS, 'shortcut': SHORTCUT}
SHARES = (slice(0, 1), slice(1, 3))
"""Images of each process: not the same number."""
synchronised = nn.SyncBatchNorm.convert_sync_batchnorm


def of_share(site, case, share):
    run = site.module if isinstance(site, DistributedDataParallel) else site
    features = [x[share] for x in inputs(case)]
    found = results(site, run, features, random(case, seed=1)[share])
    assert run.act.live.name == 'triton'
    return found


def work(rank, folder):
    """What one process finds for its share of the batch."""
    store = dist.FileStore(f'{folder}/store', 2)
    dist.init_process_group('gloo', store=store, rank=rank, world_size=2)
    found = {
        name: of_share(synchronised(Site(case)), case, SHARES[rank])
        for name, case in SYNCHRONISED.items()
    }
    # DDP takes no SyncBatchNorm on the CPU.
    found['parallel'] = of_share(DistributedDataParallel(Site(ALONE)), ALONE, SHARES[rank])
    torch.save(found, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
    """What each of two processes finds."""
    folder = tmp_path_factory.mktemp('sync')
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return [torch.load(folder / f'{rank}.pt') for rank in range(2)]


def joined(first, second):
    """What two processes found for parts of a batch as what one finds for all of it."""
    whole = {}
    for name, value in first.items():
        if name.endswith('.grad'):
            whole[name] = value + second[name]
        elif name == 'y' or name.startswith('branch'):
            whole[name] = torch.cat([value, second[name]])
        else:
            assert torch.equal(value, second[name]), name
            whole[name] = value
    return whole


@pytest.mark.parametrize('name', SYNCHRONISED)
def test_two_processes_are_one(parts, name):
    """With synchronised norms they give what one process gives for the whole batch."""
    case = SYNCHRONISED[name]
    found, expected = joined(*(part[name] for part in parts)), Definition(case).results()
    compare(without_zeros(case, found), without_zeros(case, expected), 2e-5)


def test_distributed_data_parallel(parts):
    """It finds a gradient everywhere, and gives each process the mean."""
    halves = []
    for share in SHARES:
        features, grad = [x[share] for x in inputs(ALONE)], random(ALONE, seed=1)[share]
        halves.append(Definition(ALONE).results(features, grad))
    first, second = (without_zeros(ALONE, half) for half in halves)
    for name in [name for name in first if name.endswith('.grad')]:
        mean = {name: (first[name] + second[name]) / 2}
        for part in parts:
            compare({name: part['parallel'][name]}, mean, 2e-5)


def test_synchronised_norms_of_one_process():
    """Without a process group they are batch norms."""
    site = synchronised(Site(BEHIND_NORMS))
    found = results(site, site, inputs(BEHIND_NORMS), random(BEHIND_NORMS, seed=1))
    assert site.act.live == ('triton', "implementation='triton', from before the norm")
    expected = Definition(BEHIND_NORMS).results()
    compare(*(without_zeros(BEHIND_NORMS, values) for values in (found, expected)), 2e-5)
