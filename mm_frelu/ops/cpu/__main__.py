"""Compiles the CPU kernels ahead of their first use: ``python -m mm_frelu.ops.cpu``.

Numba keeps what it compiles, but a process that compiles runs other machine code than one that loads: helpers are compiled
on their own there, and with a caller around them here, and so may add up in another order. A run is bit for bit the same
every time if the kernels were there before it.
"""

import sys

import torch
from torch import nn

from ..autograd import run
from ..spec import read_row, read_spec
from .backend import BACKEND, unavailable_reason


def main() -> None:
    """Compile the kernels for single precision, forward and backward, unless they are there."""
    reason = unavailable_reason()
    if reason is not None:
        sys.exit(f'The CPU kernels cannot be compiled: {reason}.')
    from .kernels import backward, forward

    branches = [(torch.rand(1, 1, 4, 4, requires_grad=True), None)]
    windows = [(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))]
    # Not by way of the choice, which the environment may have something to say about.
    row, spec = read_row(branches, windows), read_spec(branches, windows, 'sum', torch.float32)
    run(BACKEND.plan(spec, row), row)[0].sum().backward()
    kernels = (forward, backward)
    compiled = any(kernel.stats.cache_misses for kernel in kernels)
    state = 'Compiled the CPU kernels' if compiled else 'The CPU kernels are there'
    print(f'{state}: {forward.stats.cache_path}')


if __name__ == '__main__':
    main()
