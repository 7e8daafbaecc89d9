"""What the host does for one activation: kernels it starts, tensors it allocates, Python functions it calls.

Counts do not depend on the machine or on what else runs there, as times do; so tests can hold them. Without a GPU a driver
that starts nothing stands in for the real one, and the rest is the same: only values are missing.
"""

import gc
import sys
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Callable, ContextManager, Dict, Iterator, List, NamedTuple, Optional, Tuple
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile

from ..activations import FReLU
from ..engine import UserError
from ..ops import dispatch
from ..ops.gpu import backend

Run = Callable[[], object]
ALLOCATIONS = ('aten::empty', 'aten::empty_strided')
MULTIPROCESSORS = 132
"""Of an H100, which the stand-in divides maps for."""
SHAPE = (2, 64, 16, 16)


class HostWork(NamedTuple):
    """What the host does in one run.

    Attributes:
        launches: Kernels that it starts.
        allocations: Tensors that it allocates.
        calls: Functions and methods that Python calls, those written in C included.
    """

    launches: int
    allocations: int
    calls: int


@contextmanager
def driver(device: torch.device) -> Iterator[List[Any]]:
    """Lists the kernels that are started. On a CPU none of them is.

    Raises:
        UserError: If Triton is not installed.
    """
    try:
        from ..ops.gpu import funnel, launch
    except ImportError as error:
        raise UserError(
            f'The kernels need triton ({error}). Install it: pip install triton.'
        ) from error
    started: List[Any] = []
    dispatch._selected.clear()
    with ExitStack() as stack:
        for name in ('__call__', 'at'):
            start = getattr(launch.Launch, name) if device.type == 'cuda' else None
            stack.enter_context(patch.object(launch.Launch, name, _listing(started, start)))
        if device.type != 'cuda':
            for module, stand_ins in (
                (backend, dict(missing=lambda: None, is_interpreted=lambda: True)),
                (launch, dict(INTERPRETED=False)),
                (
                    funnel,
                    dict(INTERPRETED=False, device_of=_here, multiprocessors=_multiprocessors),
                ),
            ):
                stack.enter_context(patch.multiple(module, **stand_ins))
        try:
            yield started
        finally:
            dispatch._selected.clear()  # plans of the stand-in


def _listing(started: List[Any], start: Optional[Callable]) -> Callable:
    def launch(self: Any, *args: Any) -> None:
        started.append(self)
        if start is not None:
            start(self, *args)

    return launch


_nothing = nullcontext()


def _here(_: Tensor) -> ContextManager:
    return _nothing


def _multiprocessors(_: torch.device) -> int:
    return MULTIPROCESSORS


def host_work(run: Run, started: List[Any]) -> HostWork:
    """Count what the host does in a run.

    Args:
        run: What is counted, after a few runs that are not.
        started: What :func:`driver` gave.
    """
    with torch.autograd.set_multithreading_enabled(False):  # backward in this thread
        for _ in range(3):
            run()
        started.clear()
        run()
        launches = len(started)
        calls = _calls(run)
        with profile(use_kineto=False) as events:
            run()
    allocations = sum(event.name in ALLOCATIONS for event in events.function_events)
    return HostWork(launches, allocations, calls)


def _calls(run: Run) -> int:
    seen = {'call': 0, 'c_call': 0}

    def count(frame: Any, event: str, arg: Any) -> None:
        if event in seen:
            seen[event] += 1

    before = sys.getprofile()
    gc.disable()  # others' callbacks would be counted
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
        gc.enable()
    # The run itself, and the call that ends the count.
    return sum(seen.values()) - 2


def activation_runs(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> Dict[str, Run]:
    """Training steps and inference of a FReLU, alone and with the norms before it.

    Args:
        device: Where the layers are.
        dtype: Type of the features. For a low precision the runs want autocast around them.
    """
    cases: Dict[str, Tuple[Optional[str], ...]] = {
        'FReLU': (None,),
        'BN, FReLU': ('batch',),
        'fixed BN, FReLU': ('fixed',),
        'BN + shortcut, FReLU': ('batch', None),
        'fixed BN + shortcut, FReLU': ('fixed', None),
        'BN + BN, FReLU': ('batch', 'batch'),
    }
    runs = {name: _step(norms, device, dtype) for name, norms in cases.items()}
    for name in ('FReLU', 'fixed BN, FReLU', 'fixed BN + shortcut, FReLU'):
        runs[f'{name}: inference'] = _inference(cases[name], device, dtype)
    return runs


def _branches(
    norms: Tuple[Optional[str], ...], device: torch.device, dtype: torch.dtype
) -> List[Tuple[Tensor, Optional[nn.Module]]]:
    return [
        (
            torch.randn(SHAPE, device=device).to(dtype),
            None if mode is None else nn.BatchNorm2d(SHAPE[1]).to(device).train(mode == 'batch'),
        )
        for mode in norms
    ]


def _step(norms: Tuple[Optional[str], ...], device: torch.device, dtype: torch.dtype) -> Run:
    layer = FReLU(SHAPE[1], implementation='triton').to(device)
    branches = _branches(norms, device, dtype)
    leaves = [x.requires_grad_() for x, _ in branches] + list(layer.parameters())
    for _, norm in branches:
        leaves += [] if norm is None else norm.parameters()
    grad = torch.randn_like(branches[0][0])

    def step() -> None:
        layer.after_norms(branches).backward(grad)
        for leaf in leaves:
            leaf.grad = None

    return step


def _inference(norms: Tuple[Optional[str], ...], device: torch.device, dtype: torch.dtype) -> Run:
    layer = FReLU(SHAPE[1], implementation='triton').to(device).eval()
    branches = _branches(norms, device, dtype)

    def infer() -> None:
        with torch.inference_mode():
            layer.after_norms(branches)

    return infer
