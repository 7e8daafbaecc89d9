"""Log messages of the dataset checks, from the first process only."""

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
    # The process group does not exist yet, so read the rank that torchrun or Slurm has set.
    if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
        print_log(text, 'current', level)
