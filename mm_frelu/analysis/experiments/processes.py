"""Execute runs in separate processes, several at a time.

Each run has a new process, so that it does not depend on the state that earlier runs left in MMEngine's registries, memory or
random number generators, and a crash does not affect other runs. If the system supports it, processes are forked from one that
has loaded the libraries.
"""

import multiprocessing
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Callable, List, Optional, Sequence

import torch
from mmengine.config import Config

from mm_frelu.engine.errors import UserError

from .run import Run, execute


def carry_out(
    runs: Sequence[Run],
    workers: int,
    threads: Optional[int],
    tell: Callable[[Run], str],
) -> None:
    """Execute the runs that are not finished.

    Args:
        runs: The runs. Their settings are compared with the stored ones before the first one starts.
        workers: Number of runs at a time.
        threads: Number of torch threads in each run. None means torch's default for one worker, else the number of cores
            divided by the workers.
        tell: Function that summarises the result of a finished run in a few words.

    Raises:
        UserError: If settings have changed; or, after all other runs are finished, if runs failed.
    """
    for run in runs:
        run.prepare()
    waiting = [run for run in runs if run.result is None]
    done = len(runs) - len(waiting)
    if done:
        print(f'{done} of {len(runs)} runs are finished already.', flush=True)
    if not waiting:
        return
    if threads is None and workers > 1:
        threads = max((os.cpu_count() or 1) // workers, 1)
    context = _context(runs[0].cfg.default_scope)
    start, failures = time.monotonic(), []
    started: List[BaseProcess] = []
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(_in_process, context, run, threads, started): run for run in waiting}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                run = futures[future]
                reason = future.result()
                if reason:
                    failures.append(f'{run.name}: {reason} (its log: {run.folder / "log.txt"})')
                outcome = f'failed: {reason}' if reason else tell(run)
                # Current runs are half finished on average.
                share = (number + (workers - 1) / 2) / len(waiting)
                left = (time.monotonic() - start) * (1 / share - 1)
                rest = f'; about {left / 60:.0f} min left' if number < len(waiting) else ''
                print(f'[{done + number}/{len(runs)}] {run.name}: {outcome}{rest}', flush=True)
        except BaseException as error:
            # The pool waits for the current runs. They may finish, unless the user interrupted the tool.
            for future in futures:
                future.cancel()
            if isinstance(error, KeyboardInterrupt):
                for process in started:
                    process.terminate()
            raise
    if failures:
        raise UserError(
            f'{len(failures)} of {len(runs)} runs failed. {" ".join(failures)} The others are kept. Fix the cause and '
            'run the same command again.'
        )


def _context(library: str) -> BaseContext:
    """Return the context for new processes, with the libraries loaded if the system supports it."""
    if 'forkserver' not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    parts = ('models', 'datasets', 'evaluation', 'visualization')
    context.set_forkserver_preload([__name__, *(f'{library}.{part}' for part in parts)])
    return context


def _in_process(
    context: BaseContext, run: Run, threads: Optional[int], started: List[BaseProcess]
) -> Optional[str]:
    """Execute one run in a new process, which is added to ``started``. Return why it failed, or None."""
    log = run.folder / 'log.txt'
    process = context.Process(  # type: ignore[attr-defined]  # the types have it in subclasses only
        target=_child, args=(run.cfg, run.folder, threads, log)
    )
    process.start()
    started.append(process)
    process.join()
    if process.exitcode == 0:
        return None
    lines = [line for line in log.read_text().splitlines() if line.strip()] if log.is_file() else []
    if process.exitcode < 0:
        return f'it was ended by signal {-process.exitcode}.'
    return lines[-1].strip() if lines else f'exit code {process.exitcode}.'


def _child(cfg: Config, folder: Path, threads: Optional[int], log: Path) -> None:
    """Execute a run in its process, with all its output in its log."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with open(log, 'a', buffering=1) as file:
        for stream in (1, 2):  # what libraries in C print, and the DataLoader's workers
            os.dup2(file.fileno(), stream)
        sys.stdout = sys.stderr = file
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            execute(cfg, folder)
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except UserError as error:
            print(f'error: {error}', flush=True)
            raise SystemExit(1) from None
        except BaseException:
            traceback.print_exc(file=file)
            raise SystemExit(1) from None


def _end_with_parent() -> None:
    """End this process when the tool ends, because a restarted tool would write into the same folder."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a child
    wait([parent.sentinel])
    os._exit(1)
