"""Where the tests of the fused kernels run: on a GPU, or through Triton's interpreter with ``TRITON_INTERPRET=1``.

Triton decides when a kernel is defined whether its interpreter runs it, so one process does one of the two.
"""

import os
from importlib.util import find_spec

import pytest
import torch

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cpu' if INTERPRETED or not torch.cuda.is_available() else 'cuda'

RUNS_KERNELS = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_spec('triton') is None, reason='triton is not installed'),
    pytest.mark.skipif(
        DEVICE == 'cpu' and not INTERPRETED,
        reason='there is no CUDA device, and TRITON_INTERPRET is not 1',
    ),
]
"""For ``pytestmark`` of a module whose tests run kernels."""

ON_A_GPU = pytest.mark.skipif(DEVICE == 'cpu', reason='too much for the interpreter')
COMPILES_KERNELS = pytest.mark.skipif(INTERPRETED, reason='the interpreter does not compile')
"""For tests that compile kernels for a GPU that need not be there."""
