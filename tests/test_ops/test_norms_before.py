"""Unusual norms and branches before and inside a funnel activation: every backend does what the modules do."""

import copy

import pytest
import torch
from funnel_cases import build
from torch import nn

from mm_frelu.ops import activate, funnel
from mm_frelu.ops.modules import unsupported_modules
from mm_frelu.ops.spec import FunnelSpec, Norm

pytestmark = pytest.mark.xdist_group('numba')
both = pytest.mark.parametrize('implementation', ['recompute', 'numba'])


@pytest.mark.parametrize('implementation', ['auto', 'eager'])
def test_unknown_combination_is_refused(windows, implementation):
    """The CPU kernels would compute the sum."""
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    with pytest.raises(ValueError, match="combine='mean': expected 'sum' or 'max'"):
        funnel(x, windows, 'mean', implementation)


@pytest.fixture
def windows():
    return build('FReLU', 'BN', 4, True).windows


def features(**options):
    return torch.randn(2, 4, 5, 6, dtype=torch.float64, **options)


@pytest.mark.parametrize('implementation', ['eager', 'recompute', 'numba', 'auto'])
def test_features_before_an_identity_are_not_overwritten(implementation, windows):
    u = features()
    before = u.clone()
    branches = [(u, nn.Identity()), (features(), None)]
    activate(branches, windows, implementation=implementation)
    assert torch.equal(u, before)


def test_branches_on_two_devices_are_unsupported(windows):
    branches = [(features(), None), (features(device='meta'), None)]
    reason = unsupported_modules(branches, windows, torch.float64, False)
    assert reason == 'the branches differ in shape, type or device'


def test_kernels_share_one_process_group():
    """The backward kernel merges the means of both branches over the same processes."""
    pytest.importorskip('triton', reason='Triton is made for Linux')
    from mm_frelu.ops.gpu import funnel

    norms = Norm('batch', 1e-5, 0.1, 'a group'), Norm('batch', 1e-5, 0.1)
    spec = FunnelSpec(norms, (), 'sum', torch.float32)
    row = [None] * 12
    row[0] = row[6] = torch.rand(2, 4, 3, 3)
    assert funnel._unsupported_branches(spec, row) == 'the norms of the branches differ in kind'


def norm_without(training, **settings):
    norm = nn.BatchNorm2d(4).double().train(training)
    for name, value in settings.items():
        setattr(norm, name, value)
    return norm


@pytest.mark.parametrize(
    'norm',
    [
        # Statistics of the test batch, as in test-time adaptation.
        norm_without(False, running_mean=None, running_var=None, track_running_stats=False),
        norm_without(True, momentum=None, num_batches_tracked=None),
    ],
    ids=['no statistics', 'no counter'],
)
@both
def test_norms_that_lack_buffers(norm, implementation, windows):
    u = features()
    results = []
    for word in ('eager', implementation):
        own = copy.deepcopy(norm)
        y, choice = activate([(u, own)], windows, implementation=word)
        assert choice.name == word
        results.append([y.detach(), *own.buffers()])
    torch.testing.assert_close(*results, equal_nan=False)


@both
def test_one_value_per_channel_is_computed_by_eager(implementation):
    layer = build('FReLU', 'no norm', 4, True, implementation=implementation)
    layer(torch.randn(1, 4, 1, 1, dtype=torch.float64))
    assert layer.live.name == 'eager'
