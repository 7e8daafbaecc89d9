"""Count the work of the host for one activation: kernel launches, tensor allocations, calls of Python functions.

Unlike times, counts do not depend on the machine or on other processes, so tests can check them. Without a GPU, the driver is
replaced by one that does not start kernels. The work of the host is then the same, but no values are computed.
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
"""Multiprocessors of an H100, which the replacement of the driver assumes."""
SHAPE = (2, 64, 16, 16)


class HostWork(NamedTuple):
    """Work of the host in one run.

    Attributes:
        launches: Number of kernel launches.
        allocations: Number of tensor allocations.
        calls: Number of calls of Python functions and methods, including those written in C.
    """

    launches: int
    allocations: int
    calls: int


@contextmanager
def driver(device: torch.device) -> Iterator[List[Any]]:
    """Record the kernels that are started. On a CPU they are recorded but not run.

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
    """Count the work of the host in a run.

    Args:
        run: The run. It is called a few times before the count.
        started: The list from :func:`driver`.
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
    gc.disable()  # callbacks of other code would be counted
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
        gc.enable()
    # The run itself, and the call that ends the count.
    return sum(seen.values()) - 2


def activation_runs(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> Dict[str, Run]:
    """Return training steps and inference of a FReLU, alone and with the norms before it.

    Args:
        device: Device of the layers.
        dtype: Type of the features. Runs in low precision must be called inside autocast.
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
