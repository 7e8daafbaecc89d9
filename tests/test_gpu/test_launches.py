"""What the host does for the fused FReLU, held by counts: with many layers and small maps it bounds a training step.

Nothing is launched, and the tensors are on the CPU: this needs Triton, but neither a GPU nor the interpreter. The bounds are a
little above what was counted; whoever has a reason to raise one says what it costs by ``benchmark_host.py``.
"""

import pytest
import torch

from mm_frelu.ops import dispatch

pytest.importorskip('triton', reason='Triton is made for Linux; the dev extra installs it there')
from mm_frelu.analysis.host_work import activation_runs, driver, host_work  # noqa: E402

BOUNDS = {
    # launches, allocations, Python calls
    'FReLU': (7, 9, 290),
    'BN, FReLU': (10, 11, 360),
    'fixed BN, FReLU': (7, 11, 320),
    'BN + shortcut, FReLU': (10, 12, 375),
    'fixed BN + shortcut, FReLU': (7, 12, 340),
    'BN + BN, FReLU': (12, 14, 430),
    'FReLU: inference': (1, 1, 126),
    'fixed BN, FReLU: inference': (1, 1, 148),
    'fixed BN + shortcut, FReLU: inference': (1, 1, 158),
}


@pytest.fixture(scope='module')
def counted():
    device = torch.device('cpu')
    with driver(device) as started, torch.autocast('cpu', torch.bfloat16):
        runs = activation_runs(device)
        return {name: host_work(run, started) for name, run in runs.items()}


@pytest.mark.parametrize('case', BOUNDS)
def test_host_work(counted, case):
    found = counted[case]
    launches, allocations, calls = BOUNDS[case]
    assert found.launches == launches, found
    assert found.allocations <= allocations, found
    assert found.calls <= calls, found
    # Much less would be a sign that something is not counted, or no longer needed: lower the bound then.
    assert found.calls > 0.75 * calls, found


def test_all_cases_are_held(counted):
    assert counted.keys() == BOUNDS.keys()


def test_counts_do_not_depend_on_what_ran_before(counted):
    device = torch.device('cpu')
    with driver(device) as started, torch.autocast('cpu', torch.bfloat16):
        runs = activation_runs(device)
        for _ in range(3):
            for run in runs.values():
                run()
        for name, run in reversed(runs.items()):
            assert host_work(run, started) == counted[name]


def test_stand_in_leaves_nothing_behind(counted):
    assert not dispatch._selected
    layer_runs = activation_runs(torch.device('cpu'))
    if not torch.cuda.is_available():
        with pytest.raises((RuntimeError, ValueError)):
            layer_runs['FReLU']()
