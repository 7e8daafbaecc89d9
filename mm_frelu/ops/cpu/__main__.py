"""Compiles the CPU kernels ahead of their first use: ``python -m mm_frelu.ops.cpu``.

Numba keeps what it compiles, but a process that compiles runs other machine code than one that loads: helpers are compiled
on their own there, and with a caller around them here, and so may add up in another order. A run is bit for bit the same
every time if the kernels were there before it.
"""

import sys

import torch
from torch import nn

from ..recompute import recompute_site
from .loading import why_no_kernels


def main() -> None:
    """Compile the kernels for single precision, forward and backward, unless they are there."""
    reason = why_no_kernels()
    if reason is not None:
        sys.exit(f'The CPU kernels cannot be compiled: {reason}.')
    from .kernels import backward, forward

    window = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1)
    x = torch.rand(1, 1, 4, 4, requires_grad=True)
    # Not by way of the choice, which the environment may have something to say about.
    recompute_site([(x, None)], [window], kernels='numba').sum().backward()
    kernels = (forward, backward)
    compiled = any(kernel.stats.cache_misses for kernel in kernels)
    state = 'Compiled the CPU kernels' if compiled else 'The CPU kernels are there'
    print(f'{state}: {forward.stats.cache_path}')


if __name__ == '__main__':
    main()
