"""Where the fused kernels cannot run: the package works, and says why."""

import os
import subprocess
import sys

import pytest
import torch

from mm_frelu import DyReLUC, FReLU


def test_importing_needs_no_triton_and_no_gpu():
    """A process without triton imports the package, computes, and is told why the kernels are not for it."""
    code = (
        'import sys; sys.modules["triton"] = None\n'
        'import importlib.metadata as m; real = m.version\n'
        'def version(name):\n'
        '    if name == "triton": raise m.PackageNotFoundError(name)\n'
        '    return real(name)\n'
        'm.version = version\n'
        'import torch\n'
        'from mm_frelu import FReLU\n'
        'x = torch.rand(1, 2, 3, 4)\n'
        'FReLU(2)(x).sum().backward()\n'
        'try: FReLU(2, implementation="triton")(x)\n'
        'except RuntimeError as error: print(error)\n'
    )
    env = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    run = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], env=env, capture_output=True, text=True
    )
    last = run.stdout.strip().splitlines()[-1]
    assert "'triton' does not support this layer (triton is not installed)" in last, run.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a CUDA device')
@pytest.mark.skipif(os.environ.get('TRITON_INTERPRET') == '1', reason='the interpreter runs them')
@pytest.mark.parametrize('layer_class', [FReLU, DyReLUC])
def test_without_a_gpu_the_reason_is_told(layer_class):
    with pytest.raises(RuntimeError, match='there is no CUDA device|triton is not installed'):
        layer_class(2, implementation='triton')(torch.rand(1, 2, 3, 4))


def test_the_compiler_takes_the_reason_as_a_constant():
    """As with torch's decorator, which would import torch._dynamo together with the package."""
    from mm_frelu.ops.gpu.backend import missing

    @torch.compiler.assume_constant_result
    def decorated():
        """Has what the decorator sets."""

    assert vars(missing).keys() >= vars(decorated).keys()
    assert all(vars(missing)[name] == value for name, value in vars(decorated).items())
