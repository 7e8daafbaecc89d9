"""The fused funnel activation, alone and from before the norms, against its definition in double precision."""

import pytest
import torch
from devices import ON_A_GPU, RUNS_KERNELS
from fused_funnel_cases import BRAIN, FLOAT, HALF, Case, check
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

pytestmark = RUNS_KERNELS

# Ragged in every direction: neither sides nor channels are multiples of what a program or a lane holds.
ALONE = [
    Case((2, 3, 7, 5)),
    Case((1, 2, 5, 8), windows='fixed', bias=False),
    Case((2, 3, 6, 5), last=True, bias=False),
    Case((2, 3, 5, 4), light='sum'),
    Case((1, 3, 5, 6), light='max', windows='fixed', last=True),
    Case((2, 2, 4, 5), light='max', bias=False),
    Case((1, 2, 3, 4), light='sum', windows='none'),
    Case((3, 2, 1, 2), windows='none'),
    # other windows
    Case((2, 5, 4, 3), size=1),
    Case((1, 2, 5, 6), size=5),
    Case((1, 1, 4, 9), size=7, windows='fixed'),
    Case((1, 2, 3, 5), size=7, last=True),
    Case((1, 2, 6, 4), size=7, light='max'),
    Case((1, 3, 4, 5), size=5, light='sum', last=True, windows='fixed'),
    # the least maps, and wide ones
    Case((4, 35, 1, 1)),
    Case((1, 1, 1, 2), windows='fixed'),
    Case((3, 130, 1, 1), windows='fixed', last=True),
    Case((1, 1, 2, 1027)),
    Case((1, 1, 2, 1032), windows='fixed', dtype=BRAIN),
    Case((1, 2, 2, 300), windows='fixed', last=True),
    # several strips and blocks of rows
    Case((1, 2, 70, 3)),
    Case((1, 3, 17, 2), windows='fixed', last=True),
    # half precision under autocast, and windows of it
    Case((1, 2, 4, 4), dtype=BRAIN),
    Case((1, 33, 2, 3), windows='fixed', last=True, dtype=HALF),
    Case((2, 2, 3, 5), dtype=HALF, pure=True),
    Case((1, 2, 4, 8), windows='none', dtype=BRAIN, pure=True),
]
BEHIND_NORMS = [
    Case((2, 3, 5, 4), ('batch',)),
    Case((2, 3, 4, 4), ('batch', None), last=True),
    Case((2, 2, 4, 3), ('batch', 'batch'), light='sum'),
    # norm_eval, with windows that learn from the batch and with windows that do not
    Case((1, 3, 4, 5), ('fixed', None)),
    Case((1, 3, 4, 5), ('fixed',), windows='fixed'),
    Case((2, 2, 3, 4), ('fixed', 'fixed'), windows='fixed', light='max'),
    Case((2, 3, 4, 4), ('batch', 'batch'), dtype=BRAIN),
    Case((1, 2, 4, 5), ('fixed', None), windows='fixed', last=True, dtype=BRAIN),
    Case((2, 2, 3, 4), ('batch',), windows='fixed', dtype=HALF, pure=True),
    # after switch_to_deploy
    Case((1, 2, 4, 4), ('fixed',), windows='none'),
    # the shortcut first, and a sum without norms
    Case((2, 3, 3, 4), (None, 'batch')),
    Case((2, 3, 3, 4), (None, 'fixed'), windows='fixed', last=True),
    Case((2, 2, 3, 4), (None, None), dtype=BRAIN),
    Case((1, 2, 4, 5), ('batch', 'batch'), size=5, last=True),
    Case((4, 9, 1, 1), ('batch', None)),
]
NORMS = [
    Case((2, 3, 4, 4), norms, windows, light=light, options=options)
    for norms, windows, light, options in [
        (('batch',), 'batch', None, dict(affine=False)),
        (('fixed', 'fixed'), 'fixed', 'sum', dict(affine=False)),
        (('batch',), 'batch', None, dict(track_running_stats=False)),
        # Without running statistics the batch counts in inference, too.
        (('fixed', 'fixed'), 'fixed', None, dict(track_running_stats=False, affine=False)),
        (('batch', None), 'batch', 'max', dict(momentum=None)),
    ]
]
GRID = [
    Case(shape, norms, windows, size, light, last, dtype)
    for shape, dtype in [((2, 5, 9, 13), FLOAT), ((1, 35, 4, 12), BRAIN)]
    for norms in [(None,), ('batch', None), ('fixed', 'fixed')]
    for windows in ('batch', 'fixed')
    for size, light in [(3, 'sum'), (5, 'max'), (7, None)]
    for last in (False, True)
]
REAL = [
    Case((4, 64, 128, 256)),
    Case((4, 64, 128, 256), ('batch',), dtype=BRAIN),
    Case((4, 256, 128, 256), ('batch', 'batch'), last=True, dtype=BRAIN),
    Case((2, 256, 100, 168), ('fixed', None), dtype=BRAIN),
    Case((2, 512, 25, 167), ('fixed', 'fixed'), windows='fixed', last=True),
    Case((4, 1024, 32, 64), ('batch', None), dtype=HALF),
    Case((4, 256, 32, 64), ('batch',), last=True),
    Case((8, 96, 7, 7), light='sum', last=True, dtype=BRAIN),
    Case((2, 128, 50, 84), ('fixed',), light='max', dtype=BRAIN),
    Case((2, 64, 64, 100), light='max'),
    Case((2, 64, 64, 100), size=5, dtype=BRAIN),
    Case((2, 64, 50, 90), size=7, windows='fixed', last=True, dtype=BRAIN),
    Case((1, 32, 75, 1333), dtype=HALF),
]


@pytest.fixture(autouse=True)
def _no_tf32(monkeypatch):
    """A GPU's convolutions round like its multiplications of single precision, which is what is compared."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


@pytest.mark.parametrize('case', ALONE, ids=str)
def test_alone(case):
    check(case)


@pytest.mark.parametrize('case', BEHIND_NORMS, ids=str)
def test_behind_norms(case):
    check(case)


@pytest.mark.parametrize('case', NORMS, ids=str)
def test_norms_of_all_kinds(case):
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize('case', GRID, ids=str)
def test_over_a_grid(case):
    check(case)


@ON_A_GPU
@pytest.mark.parametrize('case', REAL, ids=str)
def test_real_sizes(case):
    check(case)


NORMS_BEFORE = [(None,), ('batch',), ('fixed',), ('batch', None), (None, 'fixed'), ('batch',) * 2]


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much],
)
@given(
    case=st.builds(
        Case,
        shape=st.tuples(*(st.integers(1, high) for high in (3, 70, 9, 70))),
        norms=st.sampled_from(NORMS_BEFORE),
        windows=st.sampled_from(['batch', 'fixed', 'none']),
        size=st.sampled_from([1, 3, 5]),
        light=st.sampled_from([None, 'sum', 'max']),
        last=st.booleans(),
        bias=st.booleans(),
        dtype=st.just(FLOAT),
        pure=st.just(False),
        options=st.just({}),
    )
)
def test_any_shape(case):
    n, c, h, w = case.shape
    # With few values a norm over the batch gives the same for all inputs, and its gradient cancels to rounding errors.
    assume(n * h * w > 4)
    # The interpreter takes a second for a few programs.
    assume(n * c * h * w < 1500)
    check(case, smallest=4.0)
