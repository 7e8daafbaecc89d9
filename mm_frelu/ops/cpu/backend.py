"""Run the kernels of :mod:`.kernels`: supported cases, arguments, and loading.

The kernels are loaded when they are first used. They are not used in forked processes, and run one call at a time.
"""

import os
import threading
from functools import cache
from importlib.util import find_spec
from time import perf_counter
from types import ModuleType
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ..autograd import Backend, Outputs, Plan
from ..context import is_compiling
from ..spec import BATCH, BRANCH_LENGTH, MODES, NONE, FunnelSpec, Row

DTYPES = (torch.float32, torch.float64)
MAX_BRANCHES = MAX_WINDOWS = 2
MAX_REACH, MIN_SIDE = 4, 8
"""Largest padding of a window, as a multiple of the image side, because the zeros around a plane take memory. For smaller images
the minimum side is used."""
NORMS, FIRST_BRANCH = 4, 2
"""Number of norms in the kernels' tables, and index of the first branch's norm. The norms of the windows come first."""
ROWS, GRADIENTS = 5, 3
"""Rows of those tables for each norm."""
MEAN, VAR = 3, 4
"""Rows of the statistics of a norm."""
MAX_KEPT = 256 << 20
"""Bytes of workspace that are kept between calls, for each of the two types."""

Arrays = Tuple[np.ndarray, np.ndarray]


def _unsupported_reason(spec: Any, row: Row) -> Optional[str]:
    if type(spec) is not FunnelSpec:
        return 'there are no compiled loops for it'
    if is_compiling():
        return 'a graph is being compiled'
    branches, x = row[: BRANCH_LENGTH * len(spec.branches) : BRANCH_LENGTH], row[0]
    if len(branches) > MAX_BRANCHES:
        return f'{len(branches)} branches are added before it'
    if x.device.type != 'cpu':
        return f'the input is on {x.device.type}'
    if x.dtype not in DTYPES:
        return f'the input is {x.dtype}, but the kernels support float32 and float64'
    if spec.dtype != x.dtype:
        return f'autocast uses {spec.dtype}, but the kernels support float32 and float64'
    for u in branches:
        if type(u) not in (Tensor, nn.Parameter):
            return f'the input is a {type(u).__name__}, which may not have its own memory'
        if u.is_contiguous(memory_format=torch.channels_last) and not u.is_contiguous():
            return 'the input is channels_last, but the kernels support NCHW only'
    if any(norm.group is not None for norm in spec.norms):
        return 'a norm shares its statistics with other processes'
    return _unsupported_windows(spec, x.shape[2:]) or unavailable_reason()


def _unsupported_windows(spec: FunnelSpec, image: Sequence[int]) -> Optional[str]:
    if len(spec.windows) > MAX_WINDOWS:
        return f'there are {len(spec.windows)} windows, but the kernels support one or two'
    for window in spec.windows:
        if any(pad > MAX_REACH * max(side, MIN_SIDE) for pad, side in zip(window.padding, image)):
            return f'a window reaches {max(window.padding)} pixels beyond features of {image[0]}x{image[1]}'
    return None


class NumbaFunnelPlan(Plan):
    """Plan that computes a :class:`.FunnelSpec` with one kernel for forward and one for backward."""

    def __init__(self, spec: FunnelSpec, row: Row) -> None:
        super().__init__(spec, row)
        windows, (images, channels, height, width) = spec.windows, row[0].shape
        self._features = slice(0, BRANCH_LENGTH * len(spec.branches), BRANCH_LENGTH)
        # Norms by their index in the kernels. In the row, the norms of the branches come first.
        numbers = [*range(FIRST_BRANCH, FIRST_BRANCH + len(spec.branches)), *range(len(windows))]
        self._places = dict(zip(numbers, spec.places))
        over_batch = [k for k, (norm, _, _) in self._places.items() if norm.mode == BATCH]
        self._weights = [start - 2 for _, start, bias in spec.places if bias is not None]
        self._statistics = [ROWS * k + moment for k in over_batch for moment in (MEAN, VAR)]
        self._norms = eps, modes = np.zeros(NORMS), np.full(NORMS, MODES.index(NONE))
        for k, (norm, _, _) in self._places.items():
            eps[k], modes[k] = norm.eps, MODES.index(norm.mode)
        # The kernels take two windows. If there is one, it fills the second place.
        steps, halo = zip(*((w.dilation, w.padding) for w in (*windows, windows[-1])))
        halo = np.max(halo, axis=0)
        self._constants = np.array(steps[:2]), halo, width, spec.combine == 'max'
        shape: Dict[str, Any] = dict(size=(channels,), dtype=spec.dtype, device='cpu')
        zero, one = torch.zeros(**shape), torch.ones(**shape)
        self._fillers = (zero, one, zero, zero, one)
        # Sizes of a plane with its halo, and of the sums of a window over it.
        up, left = map(int, halo)
        pitch = width + 2 * left
        plane, sums = (height + 2 * up) * pitch, (height - 1) * pitch + width
        self._forward_size = images * (plane + len(windows) * sums)
        self._backward_size = (images + 1) * plane + 2 * images * len(windows) * sums
        # The gradient of x is that of each branch without norm. If there is none, that of the first branch is written over it.
        plain = [norm.mode == NONE for norm in spec.branches]
        self._is_dx = plain if any(plain) else [True, False][: len(plain)]
        self._takes_memory = spec.inplace and spec.branches[0].mode == NONE

    def forward(
        self, row: Row, may_overwrite: bool = False, moves_running_statistics: bool = True
    ) -> Tuple[Outputs, List[Tensor]]:
        """See :class:`.Plan`. With ``inplace=True`` the result may overwrite the input, as in ReLU."""
        us = [u.contiguous().resolve_neg() for u in row[self._features]]
        is_own = us[0] is not row[0]  # a copy
        takes = may_overwrite and self._takes_memory and not is_own and _is_free(us)
        # The kernel has read a channel of all branches before it writes that channel of the result.
        y = us[0] if is_own or takes else torch.empty_like(us[0])
        table = self._table(row)
        _call(
            'forward', _pair(map(_planes, us)), _planes(y), self._taps(row), *self._constants, table, *self._norms,
            workspace=self._forward_size,
        )  # fmt: skip
        if takes and not y.is_inference():  # inference tensors have no version counter
            torch.autograd.graph.increment_version(y)
        # Backward saves some of them. They are copied, because views would keep the whole table.
        statistics = [torch.from_numpy(table[index].copy()) for index in self._statistics]
        if moves_running_statistics:
            self.spec.move_running_statistics(row, statistics)
        return (y,), statistics

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> List[Optional[Tensor]]:
        """See :class:`.Plan`."""
        found: List[Any] = [None] * len(row)
        us = [u.contiguous() for u in row[self._features]]
        dx = torch.empty_like(us[0])
        dus = found[self._features] = [
            dx if is_dx else torch.empty_like(dx) for is_dx in self._is_dx
        ]
        weights = self._weights
        for index in weights:
            found[index] = row[index].new_empty(row[index].shape)
        of_norms = dx.new_empty(GRADIENTS * NORMS, dx.shape[1])
        _call(
            'backward', _pair(map(_planes, us)), self._taps(row), *self._constants, self._table(row), *self._norms,
            _planes(grads[0].contiguous()), _planes(dx), _pair(map(_planes, dus)),
            _pair(_array(found[index][:, 0]) for index in weights), _array(of_norms),
            workspace=self._backward_size,
        )  # fmt: skip
        rows = of_norms.unbind()
        for k, (_, start, bias) in self._places.items():
            for offset, index in enumerate((bias, start, start + 1)):
                if index is not None and row[index] is not None:
                    found[index] = rows[GRADIENTS * k + offset]
        return found

    def _taps(self, row: Row) -> Arrays:
        """Return copies of the windows' weights, (C, rows, columns) each.

        Memory that is shared with NumPy cannot be resized, but FSDP resizes the memory of parameters in each step.
        """
        shape = torch.contiguous_format
        weights = [row[index][:, 0] for index in self._weights]
        return _pair(_array(weight.clone(memory_format=shape)) for weight in weights)

    def _table(self, row: Row) -> np.ndarray:
        """Return a table with a row for each of bias, scale, shift, mean and variance of four norms."""
        rows = list(self._fillers) * NORMS
        for k, (norm, start, bias) in self._places.items():
            # A batch norm cancels the bias.
            first = None if bias is None or norm.mode == BATCH else row[bias]
            for offset, tensor in enumerate((first, *row[start : start + 4])):
                if tensor is not None:
                    rows[ROWS * k + offset] = tensor
        return _array(torch.stack(rows))


BACKEND = Backend(_unsupported_reason, NumbaFunnelPlan)


def _is_free(us: Sequence[Tensor]) -> bool:
    """Whether the first tensor may be overwritten: inference tensors must not be changed outside inference mode."""
    first, *others = us
    if first.is_inference() and not torch.is_inference_mode_enabled():
        return False
    memory = first.untyped_storage().data_ptr()
    return all(u is first or u.untyped_storage().data_ptr() != memory for u in others)


def _array(tensor: Tensor) -> np.ndarray:
    """Return an array that shares the memory of a tensor. A tensor with the negative bit is copied."""
    return tensor.numpy(force=True)


def _planes(features: Tensor) -> np.ndarray:
    """Return an array that shares the memory of features (N, C, H, W), of shape (N, C, H * W)."""
    return _array(features.view(*features.shape[:2], -1))


def _pair(arrays: Iterable[np.ndarray]) -> Arrays:
    """Return one or two arrays as two. A missing second one is empty."""
    first, *others = arrays
    return first, others[0] if others else first[:0]


# --- loading and calling the kernels -----------------------------------------------------------------------------------

_process = os.getpid()
# Some threading layers of Numba do not support concurrent calls, which would share the same cores anyway.
_one_at_a_time = threading.Lock()


def unavailable_reason() -> Optional[str]:
    """Return why the kernels are not available in this process, or None if they are."""
    if os.getpid() != _process:
        # OpenMP's threads do not survive a fork, and Numba terminates a process that needs them.
        return 'this is a forked process'
    return _unloadable_reason()


@cache
def _unloadable_reason() -> Optional[str]:
    if find_spec('numba') is None:
        return 'numba is not installed'
    of_torch = torch.get_num_threads()
    try:
        _kernels()
        import numba

        config: Any = numba.config  # its names are set when it is imported
        if config.DISABLE_JIT:
            return 'NUMBA_DISABLE_JIT is set'
        numba.get_num_threads()  # starts the threads, which fails if the threading layer is missing
    except Exception as error:
        # Any problem with the installation of Numba: another backend can be used.
        return f'numba does not work here ({type(error).__name__}: {error})'
    finally:
        _keep_torchs_threads(of_torch)
    return None


def _keep_torchs_threads(number: int) -> None:
    """Restore torch's number of threads. Numba and torch both use OpenMP, and starting Numba's threads may change it."""
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)


@cache
def _kernels() -> ModuleType:
    from . import kernels

    _announce_compilation(kernels)
    return kernels


def _announce_compilation(kernels: ModuleType) -> None:
    """Log when Numba compiles a kernel, but not when it loads one from its cache."""
    from numba.core import event

    what = 'the CPU kernel of the funnel activation'

    class Announcer(event.Listener):
        def on_start(self, event: Any) -> None:
            kernel, (first, *_) = event.data['dispatcher'], event.data['args']
            if kernel in (kernels.forward, kernels.backward):
                self.started = perf_counter()
                name = f'{kernel.py_func.__name__}, {first.dtype.dtype}'
                print_log(
                    f'Compiling {what} ({name}) for this machine. It takes up to two minutes and happens once.',
                    logger='current',
                )

        def on_end(self, event: Any) -> None:
            kernel = event.data['dispatcher']
            if (
                kernel in (kernels.forward, kernels.backward)
                and event.data['args'] in kernel.overloads
            ):
                took = perf_counter() - self.started
                print_log(
                    f'Compiled {what} ({kernel.py_func.__name__}) for this machine in {took:.0f} s. It is kept for the next time.',
                    logger='current',
                )

    event.register('numba:compile', Announcer())


_kept: Dict[np.dtype, np.ndarray] = {}


def _workspace(dtype: np.dtype, threads: int, size: int) -> np.ndarray:
    """Return an uninitialised workspace (threads, size). It is kept unless it is large, because new memory costs page faults."""
    memory = _kept.get(dtype)
    if memory is None or memory.size < threads * size:
        memory = np.empty(threads * size, dtype)
        if memory.nbytes <= MAX_KEPT:
            _kept[dtype] = memory
    return memory[: threads * size].reshape(threads, size)


def _call(name: str, *arguments: Any, workspace: int) -> None:
    """Run a kernel with as many threads as torch may use.

    Args:
        name: ``'forward'`` or ``'backward'``, see :mod:`.kernels`.
        *arguments: All arguments except the last one. The first one is a pair of arrays.
        workspace: Size of the workspace of a thread, in values.
    """
    import numba

    if os.getpid() != _process:
        # Possible in backward only, because forward has checked it when the backend was chosen.
        raise RuntimeError(
            'Backward of a funnel activation cannot run with the CPU kernels after a fork if forward ran before it. Run '
            "forward and backward in one process, or use implementation='recompute'."
        )
    kernel, of_torch = getattr(_kernels(), name), torch.get_num_threads()
    config: Any = numba.config  # its names are set when it is imported
    threads = min(of_torch, config.NUMBA_NUM_THREADS)
    with _one_at_a_time:
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            kernel(*arguments, _workspace(arguments[0][0].dtype, threads, workspace))
        finally:
            numba.set_num_threads(before)
            _keep_torchs_threads(of_torch)
