"""Getting at the kernels: only when they are used, in no forked process, one call at a time."""

import os
import threading
import time
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, Optional

import numpy as np
import torch
from mmengine.logging import print_log

MOST_KEPT = 256 << 20
"""Bytes of memory that stay taken between calls, for each of the two types."""

_process = os.getpid()
# Not every threading layer of Numba's allows two calls at once, and two would share the same cores.
_one_at_a_time = threading.Lock()


def why_no_kernels() -> Optional[str]:
    """Why there are no kernels here; None if there are."""
    if os.getpid() != _process:
        # OpenMP's threads do not survive a fork, and Numba ends a process that would need them.
        return 'this is a forked process'
    return _why_not_loaded()


@cache
def _why_not_loaded() -> Optional[str]:
    if find_spec('numba') is None:
        return 'numba is not installed'
    try:
        _kernels()
        import numba

        if numba.config.DISABLE_JIT:
            return 'NUMBA_DISABLE_JIT is set'
        with _torchs_threads():
            numba.get_num_threads()  # starts them, where the threading layer that is asked for may be missing
    except Exception as error:
        # Whatever is wrong with an installation of Numba: there is another way to compute.
        return f'numba does not work here ({type(error).__name__}: {error})'
    return None


@cache
def _kernels() -> ModuleType:
    from . import kernels

    return kernels


@contextmanager
def _torchs_threads() -> Iterator[None]:
    """Keep their number. Numba's threads are OpenMP's, and so are torch's: starting the ones changes how many the others are."""
    of_torch = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != of_torch:
            torch.set_num_threads(of_torch)


@contextmanager
def _numbas_threads(number: int) -> Iterator[None]:
    """Use so many of them."""
    import numba

    before = numba.get_num_threads()
    if before == number:
        yield
        return
    numba.set_num_threads(number)
    try:
        yield
    finally:
        numba.set_num_threads(before)


class _Room:
    """Memory that calls work in. It is kept from call to call, unless it is large: to take it anew costs page faults."""

    def __init__(self) -> None:
        self._kept: Dict[np.dtype, np.ndarray] = {}

    def of(self, dtype: np.dtype, threads: int, size: int) -> np.ndarray:
        """Room of any content, (threads, size)."""
        room = self._kept.get(dtype)
        if room is None or room.size < threads * size:
            room = np.empty(threads * size, dtype)
            if room.nbytes <= MOST_KEPT:
                self._kept[dtype] = room
        return room[: threads * size].reshape(threads, size)


_room = _Room()


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """The tensor as an array that shares its memory; a view with another sign is copied."""
    return tensor.detach().resolve_neg().numpy()


def call(name: str, *arguments: Any, room: int) -> None:
    """Run a kernel with as many threads as torch may use.

    Args:
        name: ``'forward'`` or ``'backward'``, see :mod:`.kernels`.
        *arguments: All arguments but the last; the first is an array.
        room: Values that a thread needs room for.
    """
    import numba

    if os.getpid() != _process:  # in backward only: what chooses the kernels has asked in forward
        raise RuntimeError(
            'A funnel activation that was computed before a fork, by the CPU kernels, cannot be differentiated after '
            "it. Compute forward and backward in one process, or use implementation='recompute'."
        )
    kernel: Callable = getattr(_kernels(), name)
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    with _one_at_a_time, _torchs_threads():
        known = len(kernel.overloads)
        started = time.perf_counter()
        with _numbas_threads(threads):
            kernel(*arguments, _room.of(arguments[0].dtype, threads, room))
        took = time.perf_counter() - started
    if any(types in kernel.stats.cache_misses for types in list(kernel.overloads)[known:]):
        print_log(
            f'Compiled the CPU kernel of the funnel activation ({name}) for this machine in {took:.0f} s. '
            f'It is kept for the next time.',
            logger='current',
        )
