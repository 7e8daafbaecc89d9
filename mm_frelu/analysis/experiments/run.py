"""One training of a comparison: its folder, its settings, its result.

The folder has ``settings.json`` (all settings of the config, to detect results of other settings), ``log.txt``, ``train``
(MMEngine's work folder) and, when the run is finished, ``result.json``.
"""

import copy
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.config import Config

from mm_frelu.engine.errors import UserError
from mm_frelu.engine.json_file import read_json, write_json
from mm_frelu.engine.launch import train
from mm_frelu.engine.resume_file import newest_whole_checkpoint
from mm_frelu.engine.validation_history import validation_history

_NOT_SETTINGS = ('work_dir', 'launcher', 'resume')
"""Settings that may differ between two commands for the same run."""
_SHOWN = 4
"""Number of differences that the message about changed settings lists."""


@dataclass
class Run:
    """A training of a comparison, finished or not.

    Attributes:
        name: Its name in messages, for instance ``FReLU, seed 0``.
        row: The row of the tables that it belongs to.
        seed: Its seed.
        folder: Its folder.
        cfg: Its complete config.
    """

    name: str
    row: str
    seed: int
    folder: Path
    cfg: Config

    @property
    def result(self) -> Optional[Dict[str, Any]]:
        """The result (``history``, ``seconds``, ...) if the run is finished, else None."""
        file = self.folder / 'result.json'
        return read_json(file) if file.is_file() else None

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint.

        Raises:
            UserError: If there is none.
        """
        found = _last_checkpoint(self.cfg)
        if found is None:
            raise UserError(
                f'{self.name}: {self.folder / "train"} has no complete checkpoint of it. Set default_hooks.checkpoint so '
                f'that the last one is saved, delete {self.folder}, and run the same command again.'
            )
        return found

    def prepare(self) -> None:
        """Store the settings of a new run, or compare them if the run has a result or a checkpoint.

        Raises:
            UserError: If the run was started with other settings.
        """
        file, settings = self.folder / 'settings.json', settings_of(self.cfg)
        begun = self.result is not None or _last_checkpoint(self.cfg) is not None
        if not (begun and file.is_file()):
            write_json(file, settings)
            return
        differences = list(_differences(read_json(file), settings))
        if differences:
            more = len(differences) - _SHOWN
            raise UserError(
                f'{self.folder} is a run with other settings: {"; ".join(differences[:_SHOWN])}'
                f'{f"; and {more} more" if more > 0 else ""}. Results of different settings cannot be in one table. '
                'Give another --out, or delete that folder to repeat the run.'
            )


def make_run(
    base: Config, row: str, seed: int, folder: Path, validate_at_start: bool = False
) -> Run:
    """Create a run with one seed and its own folder.

    Args:
        base: Its config without seed and work folder; it is copied.
        row: The row of the tables that it belongs to.
        seed: Its seed.
        folder: Its folder.
        validate_at_start: Whether to validate before the first step too.
    """
    cfg = copy.deepcopy(base)
    cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
    cfg.work_dir = str(folder / 'train')
    cfg.launcher = 'none'
    history = dict(type='mm_frelu.ValidationHistoryHook', at_start=validate_at_start)
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), history]
    return Run(f'{row}, seed {seed}', row, seed, folder, cfg)


def execute(cfg: Config, folder: Path) -> None:
    """Train, and write the result at the end.

    An interrupted run continues from its newest complete checkpoint, or starts again if it has none.

    Args:
        cfg: Its config. It is changed.
        folder: Its folder.
    """
    cfg.resume = False
    continued_from = None
    checkpoint = _last_checkpoint(cfg)
    if checkpoint is not None:
        cfg.resume, cfg.load_from, continued_from = True, str(checkpoint), checkpoint.name
    else:
        shutil.rmtree(folder / 'train', ignore_errors=True)
    start = time.monotonic()
    runner = train(cfg)
    history = validation_history(runner)
    if not history or history[-1]['iter'] != runner.iter:
        # It was interrupted between its last checkpoint and its validation, or the schedule does not end with a validation.
        runner.val()
        history = validation_history(runner)
    write_json(
        folder / 'result.json',
        dict(
            history=history,
            seconds=round(time.monotonic() - start, 1),
            continued_from=continued_from,
            threads=torch.get_num_threads(),
            device=str(next(runner.model.parameters()).device),
            torch=torch.__version__,
        ),
    )


def continued_note(runs: Sequence[Run]) -> str:
    """Return a sentence for the table about runs that were interrupted and continued."""
    names = [run.name for run in runs if (result := run.result) and result['continued_from']]
    return f' Stopped and continued: {"; ".join(names)}.' if names else ''


def settings_of(cfg: Config) -> Dict[str, Any]:
    """Return the settings of a config by dotted key, as read from a JSON file, without its folders."""
    tree = {key: value for key, value in cfg.to_dict().items() if key not in _NOT_SETTINGS}
    return json.loads(json.dumps(dict(_flatten(tree)), default=str))


def _last_checkpoint(cfg: Config) -> Optional[Path]:
    """Return the newest complete checkpoint of a run, or None if it must start again."""
    try:
        found, _ = newest_whole_checkpoint(cfg)
    except UserError:  # all are damaged
        return None
    return None if found is None else Path(found)


def _flatten(node: Any, prefix: str = '') -> Iterator[Tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _flatten(value, f'{prefix}.{key}' if prefix else str(key))
    elif isinstance(node, (list, tuple)) and any(isinstance(item, dict) for item in node):
        for index, value in enumerate(node):
            yield from _flatten(value, f'{prefix}.{index}')
    else:
        yield prefix, node


def _differences(stored: Dict[str, Any], current: Dict[str, Any]) -> List[str]:
    absent = object()
    keys = [*current, *(key for key in stored if key not in current)]
    texts = []
    for key in keys:
        before, now = stored.get(key, absent), current.get(key, absent)
        if before != now:
            before, now = ('not set' if value is absent else repr(value) for value in (before, now))
            texts.append(f'{key} was {before}, now it is {now}')
    return texts
