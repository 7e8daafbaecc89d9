"""All processes end together, no matter which one fails first, and the first error is reported."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_project
from ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='only Linux tells of a dead parent')
SECONDS = 60


def children(pid: int) -> list:
    """Return the child processes of a process."""
    try:
        return [
            int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
        ]
    except OSError:
        return []


def descendants(pid: int) -> list:
    """Return the child processes and all their descendants."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def runs(pid: int) -> bool:
    """Whether a process is running; a zombie is not."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def wait_for(condition, what: str, seconds: float = SECONDS):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.2)
    return found


class Training:
    """Two processes that train until they are stopped, each with a dataloader worker."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.workers = []
        settings = tiny_project.segmentation(root, iters=100_000)
        settings['train_dataloader'].update(num_workers=1, persistent_workers=True)
        config = tiny_project.write_config(folder / 'endless.py', settings)
        self.output = folder / 'output.txt'
        with self.output.open('w') as file:
            # The script becomes torchrun, so this is torchrun's process.
            self.torchrun = subprocess.Popen(
                ['bash', tiny_project.REPOSITORY / 'tools/dist_train.sh', config, '2'],
                cwd=folder,
                env={
                    **os.environ,
                    'PYTHON': sys.executable,
                    'OMP_NUM_THREADS': '1',
                    'CUDA_VISIBLE_DEVICES': '',
                    'PORT': free_port(),
                },
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.output.read_text()

    def wait_until_it_trains(self) -> list:
        wait_for(lambda: re.search(r'Iter.train. \[ *2/', self.text()), 'no training', 3 * SECONDS)
        # Two workers, and a loader for each.
        wait_for(lambda: len(descendants(self.torchrun.pid)) >= 4, 'there are no loaders')
        self.workers = descendants(self.torchrun.pid)
        return self.workers


@pytest.fixture
def start(tmp_path):
    """Start a training; kill its remaining processes after the test."""
    trainings = []

    def begin(root):
        trainings.append(Training(root, tmp_path))
        return trainings[0]

    yield begin
    for training in trainings:
        below = [*training.workers, *descendants(training.torchrun.pid)]
        for pid in {*below, training.torchrun.pid}:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)
        training.torchrun.wait()


@pytest.mark.slow
def test_workers_end_when_torchrun_is_killed(street_scenes, start):
    training = start(street_scenes)
    workers = training.wait_until_it_trains()
    training.torchrun.kill()
    training.torchrun.wait()
    wait_for(lambda: not any(map(runs, workers)), f'workers live on: {workers}')


@pytest.mark.slow
def test_all_end_when_one_worker_is_killed(street_scenes, start):
    training = start(street_scenes)
    everyone = training.wait_until_it_trains()
    os.kill(children(training.torchrun.pid)[1], signal.SIGKILL)
    assert training.torchrun.wait(SECONDS) == 1
    wait_for(lambda: not any(map(runs, everyone)), f'some live on: {everyone}')
    assert 'Signal 9 (SIGKILL) received' in training.text()


@pytest.mark.slow
def test_all_end_at_the_error_of_one(street_scenes, start, tmp_path):
    """The process that reads the broken image fails, and the others end with it."""
    root = tmp_path / 'scenes'
    shutil.copytree(street_scenes, root)
    broken = sorted(root.glob('leftImg8bit/train/*/*.png'))[0]
    broken.write_bytes(b'no picture')
    training = start(root)
    assert training.torchrun.wait(SECONDS) == 1
    first = next(line for line in training.text().splitlines() if line.startswith('error'))
    assert str(broken) in first
    assert not descendants(training.torchrun.pid)
