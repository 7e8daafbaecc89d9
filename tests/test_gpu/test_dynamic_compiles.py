"""The kernels of DY-ReLU compiled down to machine code for GPUs that need not be there."""

import pytest
import torch
from devices import COMPILES_KERNELS

from mm_frelu.ops.dynamic import PiecewiseSpec, PoolSpec, ProjectSpec

triton = pytest.importorskip('triton', reason='Triton is made for Linux')
pytestmark = COMPILES_KERNELS
LARGEST = 'ld.global.v4.b32'


@pytest.fixture
def compiled(request, monkeypatch, tmp_path):
    """Every kernel that is launched is compiled instead, for the compute capability of the parameter, and listed."""
    from triton.backends.compiler import GPUTarget

    from mm_frelu.ops.gpu.launch import Launch

    listed = []

    def compile_only(self, *args):
        target = GPUTarget('cuda', request.param, 32)
        options = dict(num_warps=self.num_warps)
        listed.append((self.kernel.__name__, triton.compile(self.source(args), target, options)))

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(Launch, '__call__', compile_only)
    return listed


def features(dtype, last):
    x = torch.empty((2, 64, 16, 32), dtype=dtype)
    return x.to(memory_format=torch.channels_last) if last else x


def check(compiled, names):
    """Sums stay in registers: nothing goes to a stack in memory. Features are loaded 16 bytes at a time."""
    assert {name for name, _ in compiled} == {*names, 'finish_kernel'}
    for name, kernel in compiled:
        assert kernel.asm['cubin'], name
        assert '.local' not in kernel.asm['ptx'], name
        assert name == 'finish_kernel' or LARGEST in kernel.asm['ptx'], name


@pytest.mark.parametrize(
    ('compiled', 'pieces', 'own', 'attention', 'last', 'dtype'),
    [
        (80, 2, True, False, False, torch.bfloat16),
        (90, 2, True, True, True, torch.float32),
        (80, 3, False, False, True, torch.float16),
        (90, 2, True, True, False, torch.bfloat16),
    ],
    indirect=['compiled'],
)
def test_piecewise_kernels(compiled, pieces, own, attention, last, dtype):
    from mm_frelu.ops.gpu.dynamic import TritonPiecewisePlan

    x = features(dtype, last)
    slopes = torch.empty((pieces, 2, 64 if own else 1, 1, 1), dtype=dtype)
    row = [x, slopes, slopes, torch.empty((2, 1, 16, 32), dtype=dtype) if attention else None]
    plan = TritonPiecewisePlan(PiecewiseSpec(pieces), row)
    plan.forward(row)
    plan.backward(row, [x], [True] * 4)
    check(compiled, {'piecewise_kernel', 'piecewise_gradient_kernel'})


@pytest.mark.parametrize(
    ('compiled', 'projects', 'last', 'dtype'),
    [
        (80, True, False, torch.bfloat16),
        (90, True, True, torch.float32),
        (90, False, False, torch.float16),
        (80, False, True, torch.bfloat16),
    ],
    indirect=['compiled'],
)
def test_pooling_kernels(compiled, projects, last, dtype):
    from mm_frelu.ops.gpu.dynamic import TritonPoolPlan

    x = features(dtype, last)
    row = [x, torch.empty(1, 64, 1, 1)] if projects else [x]
    plan = TritonPoolPlan(ProjectSpec(dtype) if projects else PoolSpec(), row)
    _, *outputs = plan.forward(row)[0]
    plan.backward(row, [x, *outputs], [True] * 2)
    check(compiled, {'pool_kernel', 'pool_gradient_kernel'})
