"""Trace the activations of a model: which module calls each activation, after which layers, and with which input shape.

The model runs on two small dummy images. The meta device would be cheaper, but most detectors read values while they
compute a loss (to assign boxes and to sample), and auxiliary heads only run when a loss is computed. The trace runs a copy
that shares the parameters. It does not change buffers, counters and modes of the user's model, nor the random number
generators.
"""

import copy
import itertools
import random
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple
from unittest import mock

import numpy as np
import torch
from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..activations.live import recording_disabled
from .kinds import FUNCTIONS, is_replaceable
from .samples import Run, dummy_run

# Multiples of 32, which detectors require. The images are not square and differ between the two passes, so that a second
# dimension that is not the channels differs too. SSD needs the larger sizes.
SIZES = (((128, 160), (160, 192)), ((320, 352), (352, 384)), ((512, 544), (544, 576)))
"""Heights and widths of the training and the testing pass. They are tried in turn until one pair runs."""


class Call(NamedTuple):
    """One call of an activation.

    Attributes:
        shape: Shape of its input.
        caller: Name of the module whose forward called it.
        behind: Names of the modules that the caller ran since its last call of this activation.
        again: Whether the caller already called this activation in the same forward.
        mode: The pass.
        number: Number of the call in its pass, over all activations.
    """

    shape: Tuple[int, ...]
    caller: str
    behind: Tuple[str, ...]
    again: bool
    mode: str
    number: int


@dataclass
class Trace:
    """Calls that were recorded while a model ran.

    Attributes:
        model: The copy that ran, in training mode.
        calls: Calls of each activation, by its name, in order.
        functional: Number of calls of an activation as a function, by module name and function.
        overwritten: Calls (pass and number) whose input the model changed in place afterwards.
        failures: Why a pass did not finish.
    """

    model: nn.Module
    calls: Dict[str, List[Call]] = field(default_factory=dict)
    functional: Counter = field(default_factory=Counter)
    overwritten: Set[Tuple[str, int]] = field(default_factory=set)
    failures: List[str] = field(default_factory=list)


def trace(model: nn.Module, run: Optional[Run] = None) -> Trace:
    """Trace a model during a training and a testing pass.

    Args:
        model: The model. It is not changed.
        run: Function that runs it once. By default, dummy images are passed like in the model's library.

    Returns:
        The recorded calls, including those before a failure.
    """
    parameters = {id(parameter): parameter for parameter in model.parameters()}
    shadow = revert_sync_batchnorm(copy.deepcopy(model, parameters))
    _copy_shared_activations(shadow)
    for module in shadow.modules():
        if is_replaceable(module) and hasattr(module, 'inplace'):
            module.inplace = False  # like the layers that may replace it
    seen = Trace(shadow)
    # The caller may have set torch's meta device as the default, which must not apply to the images.
    with _device_of(model):
        for mode in ('loss', 'tensor'):
            shadow.train(mode == 'loss')
            failure = _watch_a_pass(seen, mode, passes(shadow, mode) if run is None else [run])
            if failure and mode == 'tensor' and run is None:  # mmseg's PointRend has no such mode
                failure = _watch_a_pass(seen, 'predict', passes(shadow, 'predict'))
            if failure:
                seen.failures.append(failure)
        if run is None and _has_points(seen):
            # A single position may be due to pooling or to the small image. A larger image tells which.
            large = itertools.islice(passes(shadow, 'tensor', larger=True), 1)
            _watch_a_pass(seen, 'tensor, large', large)
    shadow.train()
    return seen


def _watch_a_pass(seen: Trace, mode: str, attempts: Iterable[Run]) -> str:
    """Record the first attempt that runs, or else the last one until its failure. Return a description of the failure."""
    failure: Optional[Exception] = None
    for attempt in attempts:
        watch = _Watch(seen.model, mode)
        failure = None
        try:
            with _quietly(), torch.no_grad(), watch:
                attempt(seen.model)
        except Exception as error:  # a model may raise anything for dummy inputs
            failure = error
        if failure is None or isinstance(failure, (ImportError, NotImplementedError)):
            break
    _merge(seen, watch)
    return f'{mode}: {type(failure).__name__}: {str(failure).strip()}' if failure else ''


def _has_points(seen: Trace) -> bool:
    """Whether all inputs of some activation have a single position."""
    return any(all(call.shape[2:] == (1, 1) for call in calls) for calls in seen.calls.values())


def _device_of(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device('cpu'))


def _merge(seen: Trace, watch: '_Watch') -> None:
    for name, calls in watch.calls.items():
        seen.calls.setdefault(name, []).extend(calls)
    for index, (value, version) in enumerate(watch.inputs):
        if value._version != version:
            seen.overwritten.add((watch.mode, index))
    watch.inputs.clear()
    for key, number in watch.functional.items():
        seen.functional[key] = max(seen.functional[key], number)


def passes(model: nn.Module, mode: str, larger: bool = False) -> Iterator[Run]:
    """Yield the passes to try: images of growing size, with three channels or as many as the first convolution takes.

    Args:
        model: The model.
        mode: ``'loss'`` for the forward pass of a training step, ``'tensor'`` for raw outputs, or ``'predict'``.
        larger: Begin with the second size.
    """
    device = _device_of(model)
    first = next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), 3)
    for sizes in SIZES[1:] if larger else SIZES:
        for channels in dict.fromkeys((3, first)):
            size = sizes[0] if mode == 'loss' else sizes[1]
            yield dummy_run(model, channels, size, device, mode)


def _copy_shared_activations(model: nn.Module) -> None:
    """Copy activations that several modules share, so that each of them is traced separately."""
    known = set()
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is not None and is_replaceable(child):
                if child in known:
                    parent._modules[name] = copy.deepcopy(child)
                known.add(child)


@contextmanager
def _quietly() -> Iterator[None]:
    """Preserve the random number generators, disable communication between processes, and silence warnings."""
    states = random.getstate(), np.random.get_state()
    # Losses average over processes, but here each process traces the model by itself.
    alone = mock.patch.object(torch.distributed, 'is_initialized', return_value=False)
    try:
        with torch.random.fork_rng(), warnings.catch_warnings(), alone, recording_disabled():
            warnings.simplefilter('ignore')
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


class _Watch(TorchFunctionMode):
    """Record calls of activations by hooks on every module, and calls of activation functions."""

    def __init__(self, model: nn.Module, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.names = {module: name for name, module in model.named_modules()}
        self.calls: Dict[str, List[Call]] = {}
        self.functional: Counter = Counter()
        self.stack: List[Tuple[nn.Module, List[str]]] = []
        self.inputs: List[Tuple[Tensor, int]] = []
        self.handles: List[Any] = []

    def __enter__(self) -> '_Watch':
        for module in self.names:
            self.handles.append(module.register_forward_pre_hook(self._enter))
            self.handles.append(module.register_forward_hook(self._leave))
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        for handle in self.handles:
            handle.remove()
        super().__exit__(*exception)

    def _enter(self, module: nn.Module, args: Tuple[Any, ...]) -> None:
        if self.stack and is_replaceable(module) and args and isinstance(args[0], Tensor):
            self._record(self.names[module], tuple(args[0].shape))
            self.inputs.append((args[0], args[0]._version))
        self.stack.append((module, []))

    def _leave(self, module: nn.Module, args: Tuple[Any, ...], output: Any) -> None:
        self.stack.pop()
        if self.stack:
            self.stack[-1][1].append(self.names[module])

    def _record(self, name: str, shape: Tuple[int, ...]) -> None:
        caller, ran = self.stack[-1]
        again = name in ran
        start = len(ran) - ran[::-1].index(name) if again else 0
        call = Call(
            shape, self.names[caller], tuple(ran[start:]), again, self.mode, len(self.inputs)
        )
        self.calls.setdefault(name, []).append(call)

    def __torch_function__(
        self, func: Any, types: Any, args: Tuple[Any, ...] = (), kwargs: Optional[dict] = None
    ) -> Any:
        if func in FUNCTIONS and self.stack and not is_replaceable(self.stack[-1][0]):
            self.functional[self.names[self.stack[-1][0]], FUNCTIONS[func]] += 1
        return func(*args, **(kwargs or {}))
