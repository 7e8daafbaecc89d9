"""Compile the CPU kernels before their first use: ``python -m mm_frelu.ops.cpu``.

Numba caches compiled kernels, but the machine code in a process that compiles them differs from the code that a later process
loads. Helper functions may be inlined in one but not in the other, so that sums may be computed in another order. Runs are
bitwise reproducible if the kernels were compiled before.
"""

import sys

import torch
from torch import nn

from ..autograd import run
from ..modules import read_row, read_spec
from .backend import BACKEND, unavailable_reason


def main() -> None:
    """Compile the kernels for single precision, forward and backward, unless they are in the cache."""
    reason = unavailable_reason()
    if reason is not None:
        sys.exit(f'The CPU kernels cannot be compiled: {reason}.')
    from .kernels import backward, forward

    branches = [(torch.rand(1, 1, 4, 4, requires_grad=True), None)]
    windows = [(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))]
    # Bypass the choice of a backend, which depends on an environment variable.
    row, spec = read_row(branches, windows), read_spec(branches, windows, 'sum', torch.float32)
    run(BACKEND.plan(spec, row), row)[0].sum().backward()
    kernels = (forward, backward)
    compiled = any(kernel.stats.cache_misses for kernel in kernels)
    state = 'Compiled the CPU kernels' if compiled else 'The CPU kernels are there'
    print(f'{state}: {forward.stats.cache_path}')


if __name__ == '__main__':
    main()
