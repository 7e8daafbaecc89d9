"""What checks of a dataset say without stopping: once, whatever the number of processes."""

import logging
import os

from mmengine.logging import print_log


def tell(text: str) -> None:
    """Print a line of information."""
    _print(text, logging.INFO)


def warn(text: str) -> None:
    """Print a warning: which file and entry, what was found and what to do."""
    _print(text, logging.WARNING)


def _print(text: str, level: int) -> None:
    # Before the process group is made; torchrun and Slurm number the processes.
    if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
        print_log(text, 'current', level)
