"""Time, peak memory and memory bandwidth, measured side by side."""

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
    """Most memory that a run has taken beyond what was there; None where the device does not count."""
    if device.type != 'cuda':
        return None
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def interleaved(runs: Dict[str, Run], repeat: int, device: torch.device) -> Dict[str, Time]:
    """Median and range of :func:`times_in_turns`; on CUDA each run is ten calls, timed together."""
    calls = 10 if device.type == 'cuda' else 1
    return {
        name: Time(statistics.median(times), min(times), max(times))
        for name, times in times_in_turns(runs, repeat, device, calls).items()
    }


def times_in_turns(
    runs: Dict[str, Run], repeat: int, device: torch.device, calls: int = 1
) -> Dict[str, List[float]]:
    """Time several runs in turns, so that what disturbs one of them disturbs all.

    Args:
        runs: What to time, by name.
        repeat: Rounds after two that warm up.
        device: Waited for, as CUDA computes in the background.
        calls: Calls that are timed together.

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
    """Time that the kernels of a run take together, by torch's profiler; None where there is no CUDA."""
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
    """Median time after which a run returns, when the device has nothing else to do: what Python and the launches take."""
    taken = []
    for _ in range(WARM_UP + repeat):
        _wait(device)
        start = time.perf_counter()
        run()
        taken.append((time.perf_counter() - start) * 1000)
    _wait(device)
    return statistics.median(taken[WARM_UP:])


def copier(like: Tensor) -> Run:
    """A run that reads a tensor of this kind once and writes one: :data:`COPY_PASSES` passes."""
    source, target = torch.zeros_like(like), torch.zeros_like(like)
    return lambda: target.copy_(source)


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
