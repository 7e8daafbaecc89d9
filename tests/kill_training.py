"""Kill training at many points, resume it, and compare the final results with a run that was never killed.

    python tests/kill_training.py CONFIG OUT [--points 20] [--cfg-options K=V ...]

One process imports the libraries and forks a child for each run. A child counts events (training steps, validated images, each phase
of writing a checkpoint) and sends itself SIGKILL at one of them, so that every phase is tested at any speed of the machine. Then
``tools/train.py --resume`` finishes the run. The exit code is 1 if anything differs.
"""

import argparse
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Callable, Iterator, List, Sequence, Tuple

os.environ.setdefault('OMP_NUM_THREADS', '1')

import mmengine.runner.runner  # noqa: E402
import numpy as np  # noqa: E402
import tiny_project  # noqa: E402
import torch  # noqa: E402
from mmengine.fileio import LocalBackend  # noqa: E402
from mmengine.logging import HistoryBuffer  # noqa: E402
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, ValLoop  # noqa: E402

from mm_frelu.engine.checkpoint_hook import WholeFileBackend  # noqa: E402
from mm_frelu.engine.safe_load import load_safely  # noqa: E402
from mm_frelu.engine.write_file import write_file  # noqa: E402

MEASURED = ('time', 'data_time', 'eta', 'memory', 'cfg', 'experiment_name')
"""Entries in which two equal runs may differ: durations, and folder names and times in them."""

POSITION = ('/runtime_info/iter', '/runtime_info/epoch')
"""Counters that MMEngine sets when a run or a step starts. They are higher by one in a run that is resumed before a validation."""


class Events:
    """Counts the events of a run, records their names, and kills the process at one of them."""

    def __init__(self, record: Path, kill_at: int) -> None:
        self.record = record.open('a')
        self.kill_at = kill_at
        self.count = 0
        self.watch(IterBasedTrainLoop, 'run_iter', 'training step')
        self.watch(EpochBasedTrainLoop, 'run_iter', 'training step')
        self.watch(ValLoop, 'run_iter', 'validated image')
        self.watch(os, 'replace', 'moving a file')
        self.watch(LocalBackend, 'remove', 'removing an old checkpoint')
        put = WholeFileBackend.put

        def put_half(backend: WholeFileBackend, obj: bytes, path: str) -> None:
            if self.count + 1 == self.kill_at:
                with write_file(path, 'wb', suffix='.checkpoint.partial') as stream:
                    stream.write(obj[: len(obj) // 2])
                    stream.flush()
                    self.happens(f'half of {Path(path).name} written')
            self.happens(f'writing {Path(path).name}')
            put(backend, obj, path)

        WholeFileBackend.put = put_half

    def watch(self, owner: Any, name: str, what: str) -> None:
        """Count calls of a function, once before and once after each."""
        function = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.happens(f'before {what}')
            result = function(*args, **kwargs)
            self.happens(f'after {what}')
            return result

        setattr(owner, name, counted)

    def happens(self, name: str) -> None:
        self.count += 1
        self.record.write(name + '\n')
        self.record.flush()
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], Any], log: Path) -> int:
    """Run a function in a forked process; return its exit code, or the negative number of the signal that ended it."""
    # MMEngine queries compiler versions in each run, which takes longer than a short run.
    mmengine.runner.runner.collect_env = dict
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            work()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def differences(a: Any, b: Any, where: str = '') -> Iterator[str]:
    """Return the places where two checkpoints differ. Numbers must be equal bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {**a, **b}:
            if f'{where}/{key}'.endswith(POSITION):
                continue
            if not any(str(key) == name or str(key).endswith(f'/{name}') for name in MEASURED):
                yield from differences(a.get(key), b.get(key), f'{where}/{key}')
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b)):
            yield from differences(one, other, f'{where}/{index}')
    elif isinstance(a, HistoryBuffer) and isinstance(b, HistoryBuffer):
        for one, other in zip(a.data, b.data):
            if not np.array_equal(one, other, equal_nan=True):
                yield where
    elif isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.dtype != b.dtype or not torch.equal(a, b):
            yield where
    elif isinstance(a, str) and isinstance(b, str) and os.sep in a:  # paths of the two folders
        if Path(a).name != Path(b).name:
            yield where
    elif not (a == b or (a != a and b != b)):
        yield where


def checkpoints(folder: Path) -> List[str]:
    """Return the files in a work folder that are not logs: checkpoints, including temporary files."""
    return sorted(file.name for file in folder.iterdir() if file.is_file() and file.suffix != '.py')


def compare(reference: Path, folder: Path) -> List[str]:
    """Return where the results in two work folders differ."""
    if checkpoints(reference) != checkpoints(folder):
        return [f'files {checkpoints(reference)} and {checkpoints(folder)}']
    found = []
    for file in reference.glob('*.pth'):
        a, b = (load_safely(where / file.name) for where in (reference, folder))
        a['meta'].pop('time', None)
        found += [f'{file.name}{place}' for place in differences(a, b)]
    return found


class Run:
    """A training in its own folder, with tools/train.py."""

    def __init__(self, config: str, out: Path, name: str, options: List[str]) -> None:
        self.folder = out / name
        self.log = out / f'{name}.txt'
        self.events = out / f'{name}.events'
        self.argv = [config, '--work-dir', str(self.folder)]
        self.options = ['--cfg-options', *options] if options else []

    def until(self, event: int) -> int:
        """Train up to an event (0: to the end); return the exit code."""

        def work() -> None:
            Events(self.events, event)
            tiny_project.load_tool('train.py').main([*self.argv, *self.options])

        return in_child(work, self.log)

    def resume(self) -> int:
        """Train to the end."""
        argv = [*self.argv, '--resume', *self.options]
        return in_child(lambda: tiny_project.load_tool('train.py').main(argv), self.log)


def kill_and_resume(
    config: str, out: Path, points: int, options: List[str]
) -> Tuple[int, List[str]]:
    """Kill a training at points spread over all its events, and resume each.

    Returns:
        The number of killed runs, and the differences.
    """
    out.mkdir(parents=True)
    reference = Run(config, out, 'reference', options)
    assert reference.until(0) == 0, reference.log.read_text()[-3000:]
    events = reference.events.read_text().splitlines()
    # Half of the points are in the writing of checkpoints, although only few events are.
    writing = [number for number, name in enumerate(events, start=1) if not _computes(name)]
    chosen = [
        *_spread(range(1, len(events) + 1), points - points // 2),
        *_spread(writing, points // 2),
    ]
    killed, wrong = 0, []
    for number, point in enumerate(sorted(chosen)):
        run = Run(config, out, str(number), options)
        killed += run.until(point) == -signal.SIGKILL
        left = ', '.join(checkpoints(run.folder)) or 'nothing'
        code = run.resume()
        differs = (
            compare(out / 'reference', run.folder)
            if code == 0
            else [f'exit code {code}, see {run.log}']
        )
        wrong += [f'event {point}: {text}' for text in differs]
        last = run.events.read_text().splitlines()[-1]
        print(
            f'{"DIFFERENT" if differs else "EQUAL"}: killed at event {point} of {len(events)} ({last}) with {left}',
            flush=True,
        )
    return killed, wrong


def _computes(event: str) -> bool:
    return 'step' in event or 'image' in event


def _spread(numbers: Sequence[int], count: int) -> List[int]:
    """Return evenly spaced items, without the first and the last."""
    return [numbers[int((index + 0.5) / count * len(numbers))] for index in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('out', type=Path, help='new folder for the runs')
    parser.add_argument('--points', type=int, default=20)
    parser.add_argument('--cfg-options', nargs='+', default=[])
    args = parser.parse_args()
    killed, wrong = kill_and_resume(args.config, args.out, args.points, args.cfg_options)
    print(f'{killed} runs killed and resumed, {len(wrong)} differences')
    for text in wrong[:10]:
        print(text)
    sys.exit(bool(wrong) or killed < args.points)


if __name__ == '__main__':
    main()
