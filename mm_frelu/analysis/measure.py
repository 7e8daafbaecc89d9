"""Measure time, peak memory and memory bandwidth of several runs in turns."""

import statistics
import time
from typing import Callable, Dict, List, NamedTuple, Optional

import torch
from torch import Tensor

Run = Callable[[], object]
WARM_UP = 2  # rounds: allocation, and cuDNN's choice of algorithms
COPY_PASSES = 2  # a copy reads once and writes once


class Time(NamedTuple):
    """Median, fastest and slowest run, in milliseconds."""

    median: float
    fastest: float
    slowest: float


def peak_bytes(run: Run, device: torch.device) -> Optional[int]:
    """Return the peak memory of a run beyond the memory that was allocated before; None if the device does not count it."""
    if device.type != 'cuda':
        return None
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def interleaved(runs: Dict[str, Run], repeat: int, device: torch.device) -> Dict[str, Time]:
    """Return median and range of :func:`times_in_turns`. On CUDA ten calls are timed together."""
    calls = 10 if device.type == 'cuda' else 1
    return {
        name: Time(statistics.median(times), min(times), max(times))
        for name, times in times_in_turns(runs, repeat, device, calls).items()
    }


def times_in_turns(
    runs: Dict[str, Run], repeat: int, device: torch.device, calls: int = 1
) -> Dict[str, List[float]]:
    """Time several runs in turns, so that disturbances affect all of them.

    Args:
        runs: Functions to time, by name.
        repeat: Number of rounds after two warm-up rounds.
        device: Device to synchronise with, because CUDA is asynchronous.
        calls: Number of calls that are timed together.

    Returns:
        Milliseconds of a call in each round.
    """
    taken: Dict[str, List[float]] = {name: [] for name in runs}
    for _ in range(WARM_UP + repeat):
        for name, run in runs.items():
            _wait(device)
            start = time.perf_counter()
            for _ in range(calls):
                run()
            _wait(device)
            taken[name].append((time.perf_counter() - start) * 1000 / calls)
    return {name: times[WARM_UP:] for name, times in taken.items()}


def device_ms(run: Run, device: torch.device, calls: int = 10) -> Optional[float]:
    """Return the total time of the kernels of a run, measured by torch's profiler; None without CUDA."""
    if device.type != 'cuda':
        return None
    from torch.profiler import ProfilerActivity, profile

    for _ in range(WARM_UP):
        run()
    _wait(device)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(calls):
            run()
        _wait(device)
    return sum(event.self_device_time_total for event in profiler.key_averages()) / 1000 / calls


def host_ms(run: Run, device: torch.device, repeat: int = 20) -> float:
    """Return the median time of Python and the launches in a run, measured with an idle device."""
    taken = []
    for _ in range(WARM_UP + repeat):
        _wait(device)
        start = time.perf_counter()
        run()
        taken.append((time.perf_counter() - start) * 1000)
    _wait(device)
    return statistics.median(taken[WARM_UP:])


def copier(like: Tensor) -> Run:
    """Return a run that copies a tensor of this kind, which is :data:`COPY_PASSES` passes over memory."""
    source, target = torch.zeros_like(like), torch.zeros_like(like)
    return lambda: target.copy_(source)


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
