"""The fused kernels: through Triton's interpreter, compiled for a GPU that need not be there, and on one that is."""

import os
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
import torch

import mm_frelu
from mm_frelu.ops import fused

HERE = Path(__file__).parent
CHECKS = [
    'fused_funnel_checks.py',
    'fused_site_checks.py',
    'fused_piecewise_checks.py',
    'fused_pooling_checks.py',
]
HOPPER = 90


def run_checks(files: List[str], markers: str, interpreted: bool) -> None:
    """Run files of checks in a process of their own, where Triton's interpreter is on or off."""
    root = Path(mm_frelu.__file__).parents[1]
    env = dict(
        os.environ, PYTHONPATH=os.pathsep.join([str(root), os.environ.get('PYTHONPATH', '')])
    )
    env.pop('TRITON_INTERPRET', None)
    if interpreted:
        env['TRITON_INTERPRET'] = '1'
    command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', '-m', markers]
    run = subprocess.run(
        [*command, *(str(HERE / name) for name in files)], env=env, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-10000:] + run.stderr[-2000:]


def test_through_the_interpreter():
    pytest.importorskip(
        'triton', reason='Triton is made for Linux; the dev extra installs it there'
    )
    run_checks([*CHECKS, 'fused_sync_checks.py'], 'not slow and not gpu', interpreted=True)


@pytest.mark.slow
def test_through_the_interpreter_over_a_grid():
    pytest.importorskip(
        'triton', reason='Triton is made for Linux; the dev extra installs it there'
    )
    run_checks(CHECKS, 'slow', interpreted=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no CUDA device')
def test_on_a_gpu():
    run_checks(CHECKS, 'gpu or not gpu', interpreted=False)


class _Hopper:
    """What Triton asks a driver when it compiles, answered for a GPU of compute capability 9.0."""

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget('cuda', HOPPER, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list:
    """Every kernel that is launched is compiled down to machine code instead, and listed with its name."""
    pytest.importorskip(
        'triton', reason='Triton is made for Linux; the dev extra installs it there'
    )
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    listed, run = [], JITFunction.run

    def compile_only(self, *args, warmup, **kwargs):
        kernel = run(self, *args, warmup=True, **kwargs)
        listed.append((self.__name__, kernel))
        return kernel

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(JITFunction, 'run', compile_only)
    monkeypatch.setattr(driver, '_active', _Hopper())
    return listed


def launch_all(shape, mode, size, light, last, dtype) -> None:
    """Launch all kernels of the funnel activation, forward and backward, on memory without values."""
    from mm_frelu.ops.fused.funnel_launch import Condition, activate, backpropagate, measure

    x = torch.empty(shape, dtype=dtype)
    if last:
        x = x.to(memory_format=torch.channels_last)
    channels = shape[1]
    sizes = [(1, size), (size, 1)] if light else [(size, size)]
    weights = [torch.empty(channels, 1, *size) for size in sizes]
    numbers = [torch.empty(channels) for _ in sizes]
    tensors = [weights, *[numbers] * 5]
    if mode == 'batch':
        measure(x, weights, '')
        tensors[3] = []  # no bias
    elif mode == 'none':
        tensors = [weights, [], [], numbers, [], []]
    condition = Condition(*tensors, light == 'max', 1e-5)
    activate(x, condition)
    backpropagate(torch.empty_like(x), x, condition, mode == 'batch')


def check_machine_code(compiled: list, names: set) -> None:
    """Kernels that keep their patches in registers: nothing goes to a stack in memory."""
    assert {name for name, _ in compiled} == names
    for name, kernel in compiled:
        assert kernel.asm['cubin'], name
        assert f'.target sm_{HOPPER}' in kernel.asm['ptx'], name
        assert '.local' not in kernel.asm['ptx'], name


BATCH = {'moments_kernel', 'merge_moments_kernel', 'activate_kernel', 'sums_kernel'}
FUNNEL_QUICK = [
    # A map of one row has patches of one row, which compile fast.
    ((2, 8, 1, 4), 'batch', 3, None, False, torch.bfloat16),
    ((2, 8, 1, 5), 'fixed', 3, 'max', True, torch.float16),
    ((2, 8, 1, 2), 'none', 5, None, False, torch.float32),
]
FUNNEL_GRID = [
    ((4, 256, 64, width), *how, last, dtype)
    for how, width, last, dtype in [
        (('batch', 3, None), 128, False, torch.float32),
        (('batch', 3, None), 128, False, torch.float16),
        (('batch', 3, None), 167, False, torch.bfloat16),
        (('batch', 3, None), 128, True, torch.bfloat16),
        (('fixed', 3, None), 128, False, torch.bfloat16),
        (('none', 3, None), 167, True, torch.float32),
        (('batch', 3, 'sum'), 128, False, torch.bfloat16),
        (('batch', 3, 'max'), 128, True, torch.float32),
        (('batch', 5, None), 128, False, torch.bfloat16),
        (('fixed', 7, None), 128, False, torch.float32),
        (('batch', 7, 'max'), 167, False, torch.bfloat16),
    ]
]


def check_funnel(compiled, case):
    launch_all(*case)
    names = {'activate_kernel', 'gradient_kernel'}
    if case[1] == 'batch':
        names |= BATCH
    if case[2] > 3:
        names.add('spread_kernel')
    check_machine_code(compiled, names)


@pytest.mark.parametrize('case', FUNNEL_QUICK, ids=str)
def test_funnel_kernels_compile_for_hopper(compiled, case):
    check_funnel(compiled, case)


@pytest.mark.slow
@pytest.mark.parametrize('case', FUNNEL_GRID, ids=str)
def test_funnel_kernels_compile_for_hopper_over_a_grid(compiled, case):
    check_funnel(compiled, case)


def test_patches_stay_in_their_threads(compiled):
    """Four columns of half precision are one load of 8 bytes, and no value goes to another thread."""
    from mm_frelu.ops.fused.funnel_launch import Condition, activate

    x = torch.empty((2, 8, 1, 256), dtype=torch.bfloat16)
    activate(x, Condition([torch.empty(8, 1, 3, 3)], *[[]] * 5, False, 0.0))
    kernel = compiled[0][1]
    assert 'ld.global.v2.b32' in kernel.asm['ptx']
    assert 'st.global.v2.b32' in kernel.asm['ptx']
    assert kernel.metadata.shared == 0


@pytest.mark.parametrize('last', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ('pieces', 'own', 'intercepts', 'attention'),
    [(2, True, True, False), (3, False, False, False), (2, True, True, True)],
)
def test_piecewise_kernels_compile_for_hopper(
    compiled, last, dtype, pieces, own, intercepts, attention
):
    from mm_frelu.ops.fused import piecewise_ops

    x = torch.empty((2, 64, 16, 32), dtype=dtype)
    if last:
        x = x.to(memory_format=torch.channels_last)
    slopes = torch.empty((pieces, 2, 64 if own else 1, 1, 1), dtype=dtype)
    others = (
        slopes if intercepts else None,
        torch.empty((2, 1, 16, 32), dtype=dtype) if attention else None,
    )
    piecewise_ops.piecewise_max(x, slopes, *others)
    piecewise_ops.piecewise_max_backward(x, x, slopes, *others)
    name = 'attended' if attention else 'piecewise'
    check_machine_code(compiled, {f'{name}_kernel', f'{name}_gradient_kernel'})
    assert 'ld.global.v4.b32' in compiled[0][1].asm['ptx']


@pytest.mark.parametrize('last', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_pooling_kernels_compile_for_hopper(compiled, last, dtype):
    from mm_frelu.ops.fused import pooling_ops

    x = torch.empty((2, 64, 16, 32), dtype=dtype)
    if last:
        x = x.to(memory_format=torch.channels_last)
    weight = torch.empty(1, 64, 1, 1)
    means, projection = pooling_ops.pool_and_project(x, weight)
    pooling_ops.pool_and_project_backward(x, x, weight, means, projection)
    check_machine_code(compiled, {'pool_kernel', 'pool_gradient_kernel'})
    assert 'ld.global.v4.b32' in compiled[0][1].asm['ptx']


def test_importing_needs_no_triton_and_no_gpu():
    """A process without triton imports the package, and is told why the kernels are not for it."""
    code = (
        'import sys; sys.modules["triton"] = None\n'
        'import importlib.metadata as m; real = m.version\n'
        'def version(name):\n'
        '    if name == "triton": raise m.PackageNotFoundError(name)\n'
        '    return real(name)\n'
        'm.version = version\n'
        'import torch, mm_frelu\n'
        'from mm_frelu.ops import fused\n'
        'print(fused.why_not_funnel(torch.rand(1, 2, 3, 4), []))\n'
    )
    env = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    run = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True)
    assert run.stdout.strip() == 'triton is not installed', run.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a CUDA device')
def test_without_a_gpu_the_reason_is_told():
    x = torch.rand(1, 2, 3, 4)
    reasons = [
        fused.why_not_funnel(x, mm_frelu.FReLU(2).windows),
        fused.why_not_piecewise(x, 2),
        fused.why_not_projection(x, mm_frelu.DyReLUC(2).spatial),
    ]
    assert set(reasons) <= {'there is no CUDA device', 'triton is not installed'}
