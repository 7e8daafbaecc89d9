"""The fused funnel activation with statistics of two processes; run by test_fused.py, through Triton's interpreter."""

from pathlib import Path
from typing import Dict, List

import torch
import torch.distributed as dist
from fused_cases import Case, build, compare, drop_conv_biases, features, fused_funnel, reference
from fused_site_cases import Site, SiteCase, by_definition, inputs, results
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

CASE = Case((3, 2, 1, 5))
SITE = SiteCase(CASE.shape, norms=('batch', 'batch'))
SHARES = (slice(0, 1), slice(1, 3))
"""Images of each process: not the same number."""


class Activation(nn.Module):
    """The layer alone."""

    def __init__(self, function=fused_funnel) -> None:
        super().__init__()
        self.layer, self.function = build(CASE), function

    def forward(self, x):
        return self.function(x, self.layer.windows, self.layer.combine)


def work(rank: int, folder: str) -> None:
    """What one process finds for its share of the batch."""
    store = dist.FileStore(f'{folder}/store', 2)
    dist.init_process_group('gloo', store=store, rank=rank, world_size=2)
    share = SHARES[rank]
    terms, grad = [term[share] for term in inputs(SITE)], features(CASE, seed=1)[share]

    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm
    alone, site, own = synchronised(Activation()), synchronised(Site(SITE)), Activation()
    # DDP takes no SyncBatchNorm on the CPU.
    parallel = DistributedDataParallel(own)
    found = dict(
        alone=results(alone, alone, terms[:1], grad),
        site=results(site, site, terms, grad),
        parallel=results(parallel, own, terms[:1], grad),
    )
    torch.save(found, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def joined(parts: List[Dict[str, Tensor]]) -> Dict[str, Tensor]:
    """What two processes found for halves of a batch as what one finds for all of it."""
    first, second = parts
    whole = {}
    for name, value in first.items():
        if name.endswith('.grad'):
            whole[name] = value + second[name]
        elif name == 'y' or name.startswith('term'):
            whole[name] = torch.cat([value, second[name]])
        else:
            assert torch.equal(value, second[name]), name
            whole[name] = value
    return whole


def by_one(share: slice = slice(None)) -> Dict[str, Tensor]:
    """What the definition of the layer gives for a part of the batch."""
    layer, terms = Activation(reference).double(), inputs(SITE)[:1]
    grad = features(CASE, seed=1).double()
    return results(layer, layer, [term.double()[share] for term in terms], grad[share])


def test_two_processes(tmp_path: Path) -> None:
    """With synchronised norms they give what one process gives for the whole batch. DDP finds a gradient everywhere."""
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    for kind, whole in (('alone', by_one()), ('site', by_definition(SITE))):
        found = joined([part[kind] for part in parts])
        drop_conv_biases(found, whole)
        compare(found, whole, 2e-5)

    halves = [by_one(share) for share in SHARES]
    drop_conv_biases(*halves, *(part['parallel'] for part in parts))
    for name in [name for name in halves[0] if name.endswith('.grad')]:
        mean = (halves[0][name] + halves[1][name]) / 2
        for part in parts:
            compare({name: part['parallel'][name]}, {name: mean}, 2e-5)
