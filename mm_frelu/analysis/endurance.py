"""Record memory, open files and threads of long runs at intervals, and find growth."""

import os
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mm_frelu.engine.errors import UserError

TOLERANCE = 0.02
"""Allowed increase of the memory from the second third to the last third."""


class Usage(NamedTuple):
    """Resources of the process after a number of steps or images.

    Args:
        count: Steps or images so far.
        memory: Resident memory of the process, bytes.
        workers: Total resident memory of its child processes (workers of dataloaders), bytes.
        device: Memory that PyTorch has reserved on the GPU, bytes; 0 without one.
        files: Open file descriptors.
        threads: Threads.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count
    memory: int
    workers: int
    device: int
    files: int
    threads: int


def usage(count: int) -> Usage:
    """Return the current resources of the process.

    Raises:
        UserError: If the system has no ``/proc``.
    """
    if not Path('/proc/self/fd').is_dir():
        raise UserError(
            'Open files and memory are read from /proc, which this system lacks. Use Linux.'
        )
    status = _status('self')
    children = ' '.join(
        file.read_text() for file in Path('/proc/self/task').glob('*/children')
    ).split()
    return Usage(
        count,
        memory=status.get('VmRSS', 0),
        workers=sum(_status(pid).get('VmRSS', 0) for pid in children),
        device=torch.cuda.memory_reserved() if torch.cuda.is_available() else 0,
        files=len(os.listdir('/proc/self/fd')),
        threads=status.get('Threads', 0),
    )


def _status(pid: str) -> Dict[str, int]:
    """Return the numbers of ``/proc/PID/status`` in bytes; empty for a process that has ended."""
    try:
        lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    fields = {line.split(':')[0]: line.split()[1:] for line in lines if len(line.split()) > 1}
    return {
        key: int(value[0]) * (1024 if value[1:] == ['kB'] else 1)
        for key, value in fields.items()
        if key in ('VmRSS', 'Threads')
    }


def growths(curve: Sequence[Usage]) -> List[str]:
    """Return what grew from the second third of a curve to the last third; empty if nothing did.

    The first third is ignored, because libraries are loaded and allocators fill. The largest values of the other thirds are
    compared. Memory may differ by :data:`TOLERANCE`, the numbers of files and threads must not differ.

    Raises:
        UserError: If the curve has fewer than six points.
    """
    if len(curve) < 6:
        raise UserError(
            f'{len(curve)} points are too few to detect growth; at least 6 are needed. Take more steps, or a '
            'shorter interval.'
        )
    third = len(curve) // 3
    found = []
    for name in Usage._fields[1:]:
        values = [getattr(point, name) for point in curve]
        before, after = max(values[third:-third]), max(values[-third:])
        allowed = before if name in ('files', 'threads') else before * (1 + TOLERANCE)
        if after > allowed:
            found.append(f'{name} {_readable(name, before)} -> {_readable(name, after)}')
    return found


def describe(point: Usage) -> Dict[str, str]:
    """Format a point of the curve with units."""
    return {name: _readable(name, getattr(point, name)) for name in Usage._fields}


def _readable(name: str, value: int) -> str:
    return f'{value / 2**20:.1f} MiB' if name in ('memory', 'workers', 'device') else str(value)


class UsageHook(Hook):
    """Report the usage at intervals of training steps."""

    priority = 'LOWEST'

    def __init__(self, interval: int, tell: Callable[[Usage], Any]) -> None:
        self.interval = interval
        self.tell = tell

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Record a point of the curve."""
        if self.every_n_train_iters(runner, self.interval):
            self.tell(usage(runner.iter + 1))


@torch.no_grad()
def run_inference(
    model: Any, loader: Any, images: int, interval: int, tell: Callable[[Usage], Any]
) -> None:
    """Run a model over a test set repeatedly, like in testing, and discard the predictions.

    Args:
        model: A model of MMEngine. It is put into eval mode.
        loader: Its dataloader. Each pass restarts its workers unless they are persistent.
        images: Number of images after which to stop.
        interval: Number of images between two points of the curve.
        tell: Function that gets each point.
    """
    model.eval()
    done = 0
    while done < images:
        for batch in loader:
            before = done
            done += len(model.test_step(batch))
            if done // interval > before // interval:
                tell(usage(done))
            if done >= images:
                return
