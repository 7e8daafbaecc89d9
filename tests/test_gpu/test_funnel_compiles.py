"""The kernels of the funnel activation compiled down to machine code for GPUs that need not be there."""

from unittest.mock import Mock

import pytest
import torch
from devices import COMPILES_KERNELS
from fused_funnel_cases import BRAIN, FLOAT, HALF, Case, Site
from torch import nn

triton = pytest.importorskip('triton', reason='Triton is made for Linux')
pytestmark = COMPILES_KERNELS
MULTIPROCESSORS = 132

CASES = [
    # Few columns for each lane, which compile fast.
    Case((2, 8, 16, 12), ('batch', None)),
    Case((2, 64, 32, 40), windows='fixed', last=True, dtype=BRAIN, bias=False),
]
MORE = [
    Case((2, 8, 64, 256), ('batch', None), dtype=BRAIN),
    Case((4, 256, 64, 128)),
    Case((4, 256, 64, 167), dtype=BRAIN),
    Case((4, 256, 64, 128), ('batch', 'batch'), last=True, dtype=BRAIN),
    Case((4, 256, 64, 128), ('fixed', None), dtype=HALF),
    Case((4, 256, 64, 168), ('fixed', 'fixed'), windows='fixed', dtype=BRAIN),
    Case((4, 256, 64, 128), light='sum', dtype=BRAIN),
    Case((4, 256, 64, 128), ('batch',), light='max', last=True),
    Case((4, 64, 64, 128), size=5, dtype=BRAIN),
    Case((4, 1024, 32, 64), ('batch', None), dtype=BRAIN),
]
ALWAYS = {'activate_kernel', 'gradient_kernel', 'finish_gradient_kernel'}
OF_BATCH = {'moments_kernel', 'finish_moments_kernel', 'sums_kernel', 'finish_sums_kernel'}
BIG = {'activate_kernel', 'gradient_kernel', 'moments_kernel', 'sums_kernel'}


@pytest.fixture
def compiled(request, monkeypatch, tmp_path):
    """Every kernel that is launched is compiled instead, for the compute capability of the parameter, and listed."""
    from triton.backends.compiler import GPUTarget

    from mm_frelu.ops.gpu import funnel
    from mm_frelu.ops.gpu.launch import Launch

    listed = []

    def compile_only(self, *args):
        target = GPUTarget('cuda', request.param, 32)
        options = dict(num_warps=self.num_warps)
        listed.append((self, triton.compile(self.source(args), target, options)))

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(Launch, '__call__', compile_only)
    monkeypatch.setattr(funnel, 'multiprocessors', lambda device: MULTIPROCESSORS)
    # Tensors of the CPU are on the current device.
    monkeypatch.setattr(funnel, 'device_of', Mock(return_value=torch.no_grad()))
    return listed


def compile_all(case, forward_only=False):
    """Forward and backward of a plan, on memory without values."""
    from mm_frelu.ops.gpu.funnel import TritonFunnelPlan, unsupported_reason
    from mm_frelu.ops.modules import read_row, read_spec

    site = Site(case).cpu()
    x = torch.empty(case.shape, dtype=case.dtype)
    x = x.to(memory_format=torch.channels_last) if case.last else x
    branches = [(x, norm) for norm in site.branches]
    row = read_row(branches, site.act.windows)
    spec = read_spec(branches, site.act.windows, site.act.combine, case.dtype)
    assert unsupported_reason(spec, row) is None
    plan = TritonFunnelPlan(spec, row)
    with torch.no_grad():
        _, statistics = plan.forward(row)
        if not forward_only:
            plan.backward(spec.saved(row, statistics), [x], [True] * len(row))


def check(compiled, case):
    """Rows stay in registers: nothing goes to a stack in memory, and where nothing is added up nothing is exchanged."""
    compile_all(case)
    names = ALWAYS | (OF_BATCH if case.windows == 'batch' else set())
    if 'batch' in case.norms:
        names |= {'moments_kernel', 'finish_moments_kernel', 'norms_kernel'}
    assert {launch.kernel.__name__ for launch, _ in compiled} == names
    for launch, kernel in compiled:
        name, ptx = launch.kernel.__name__, kernel.asm['ptx']
        assert kernel.asm['cubin'], name
        assert '.local' not in ptx, name
        if name in BIG:
            check_loads(launch, ptx, case)
        if name == 'activate_kernel':
            assert kernel.metadata.shared == 0


def check_loads(launch, ptx, case):
    """In NCHW a lane's columns come by the widest loads that rows allow; in channels_last neighbours load neighbours."""
    bytes_at_a_time = launch.constants['tile'].vector * case.dtype.itemsize
    if not case.last and bytes_at_a_time > 4:
        assert f'.v{bytes_at_a_time // 4}.b32' in ptx, launch.kernel.__name__


@pytest.mark.parametrize(('compiled', 'case'), zip([80, 90], CASES), ids=str, indirect=['compiled'])
def test_kernels(compiled, case):
    check(compiled, case)


@pytest.mark.parametrize(
    ('compiled', 'case'),
    [
        (90, Case((2, 8, 64, 256), windows='none', dtype=BRAIN)),
        (80, Case((2, 8, 64, 256), windows='none', light='max', dtype=HALF)),
    ],
    ids=str,
    indirect=['compiled'],
)
def test_inference(compiled, case):
    """One kernel, which loads eight values of a long row at a time."""
    compile_all(case, forward_only=True)
    ((launch, kernel),) = compiled
    check_loads(launch, kernel.asm['ptx'], case)
    assert 'ld.global.v4.b32' in kernel.asm['ptx']
    assert 'st.global.v4.b32' in kernel.asm['ptx']
    assert kernel.metadata.shared == 0


@pytest.mark.slow
@pytest.mark.parametrize('compiled', [80, 90], indirect=True)
@pytest.mark.parametrize('case', [*CASES, *MORE], ids=str)
def test_kernels_of_real_sizes(compiled, case):
    check(compiled, case)


def test_shapes_share_kernels():
    """Nothing that depends on a shape is compiled into a kernel, but how its rows divide."""
    from mm_frelu.ops.gpu import geometry

    found = [
        geometry.divide((2, c, h, w), BRAIN, False, 3, True, MULTIPROCESSORS).tile
        for c, h, w in [(64, 200, 336), (256, 200, 336), (128, 104, 304), (512, 96, 320)]
    ]
    assert all(tile == found[0] for tile in found)


@pytest.mark.parametrize('norm', [nn.BatchNorm2d, None])
def test_addresses_are_those_of_the_tensors(norm):
    """From the second call on kernels get addresses; the arguments are the same."""
    from mm_frelu import FReLU
    from mm_frelu.analysis.host_work import driver
    from mm_frelu.ops.gpu.launch import Launch

    device, calls = torch.device('cpu'), []
    with driver(device), pytest.MonkeyPatch.context() as patch:
        for name in ('__call__', 'at'):
            listing = lambda launch, *args, name=name: calls.append((name, launch, args))  # noqa: E731
            patch.setattr(Launch, name, listing)
        layer, norm = FReLU(4, implementation='triton'), norm and norm(4)
        x = torch.randn(2, 4, 5, 6, requires_grad=True)
        for _ in range(2):
            layer.after_norms([(x, norm)]).sum().backward()
    half = len(calls) // 2
    assert [name for name, *_ in calls] == ['__call__'] * half + ['at'] * half
    for (_, launch, first), (_, again, second) in zip(calls[:half], calls[half:]):
        assert launch is again
        for one, other in zip(first, second):
            assert type(other) is (int if isinstance(one, torch.Tensor) else type(one))
            if isinstance(one, torch.Tensor) and one is x:
                assert other == one.data_ptr()


@pytest.mark.parametrize('dtype', [FLOAT, HALF, BRAIN])
@pytest.mark.parametrize('shape', [(1, 1, 1, 1), (2, 3, 7, 5), (4, 1024, 32, 64), (1, 8, 3, 5000)])
@pytest.mark.parametrize('last', [False, True])
@pytest.mark.parametrize('size', [1, 3, 7])
@pytest.mark.parametrize('is_gradient', [False, True])
def test_division_covers_each_row_once(dtype, shape, last, size, is_gradient):
    """Strips cover the height, groups of columns the width; no strip begins below the map."""
    from mm_frelu.ops.gpu.geometry import LANES, divide

    n, c, h, w = shape
    cut = divide(shape, dtype, last, size, is_gradient, MULTIPROCESSORS)
    planes, channels, height, width, groups, strips, rows, row_blocks, col_blocks = cut.sizes
    columns, vector, owned = cut.tile.columns, cut.tile.vector, cut.tile.owned
    assert height == h
    assert cut.parts == n * row_blocks * col_blocks
    assert rows * strips * row_blocks >= h > rows * strips * (row_blocks - 1)
    if last:
        assert (channels * vector, width, planes) == (c, w, n)
        assert groups * owned >= c
        assert col_blocks * columns * (LANES // owned) >= w
        assert cut.programs == cut.parts * groups
    else:
        assert (channels, width * vector, planes) == (c, w, n * c)
        assert groups * strips <= owned <= LANES
        assert col_blocks * groups * columns >= w
        assert cut.programs * (LANES // owned) >= planes * row_blocks * col_blocks
