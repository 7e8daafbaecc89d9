"""Read MMEngine's log of a training, scalars.json, as one curve per key."""

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple, Union

from mm_frelu.engine.errors import UserError

LEFT_OUT = ('time', 'data_time', 'memory', 'eta')
"""Keys of times and other values that do not show the progress of a training. They are drawn only if requested."""

_COUNTERS = ('step', 'iter', 'epoch')
_MAIN = ('mIoU', 'bbox_mAP', 'segm_mAP', 'top1')


class Curve(NamedTuple):
    """Values of one key.

    Attributes:
        unit: Unit of the steps: ``'iteration'`` or ``'epoch'``.
        steps: Steps at which the value was logged, ascending.
        values: The logged values.
    """

    unit: str
    steps: List[float]
    values: List[float]


class TrainingLog(NamedTuple):
    """The curves of a run.

    Attributes:
        path: File or folder that it was read from.
        curves: By key.
    """

    path: Path
    curves: Dict[str, Curve]

    def find(self, key: str) -> str:
        """Return the full key for a name that may lack its prefix, such as ``bbox_mAP`` for ``coco/bbox_mAP``.

        Raises:
            UserError: If there is no such key, or several.
        """
        if key in self.curves:
            return key
        found = [name for name in self.curves if name.split('/')[-1] == key]
        if len(found) == 1:
            return found[0]
        known = ', '.join(sorted(self.curves)) or 'none'
        what = f'{len(found)} keys end in {key!r}' if found else f'there is no key {key!r}'
        raise UserError(f'{self.path}: {what}; it has {known}. Give one of them to --keys.')

    def main_keys(self) -> List[str]:
        """Return the keys of the loss and of the main score, if they were logged."""
        keys = ['loss'] if 'loss' in self.curves else []
        for name in _MAIN:
            keys += [key for key in self.curves if key.split('/')[-1] == name]
        return keys or [key for key in self.curves if key not in LEFT_OUT and key != 'lr'][:1]


def read_log(path: Union[str, Path]) -> TrainingLog:
    """Read a run.

    Args:
        path: A ``scalars.json``; a folder of one run with ``vis_data``; or a work folder, of which all runs are read. A resumed run
            continues the previous one: its lines replace earlier ones from its first step on.

    Raises:
        UserError: If the file does not exist, the folder has no log, or lines are not in MMEngine's format.
    """
    path = Path(path)
    files = [path]
    if path.is_dir():
        files = sorted(path.glob('vis_data/scalars.json')) or sorted(
            path.glob('*/vis_data/scalars.json')
        )
        if not files:
            raise UserError(
                f'{path}: there is no vis_data/scalars.json in this folder or its subfolders. Give the work folder of a training.'
            )
    elif not path.is_file():
        raise UserError(
            f'{path}: there is no such file or folder. Give a work folder, or its scalars.json.'
        )
    points: Dict[Tuple[str, str], Dict[float, float]] = {}
    for file in files:
        own = _points(file)
        firsts: Dict[str, float] = {}
        for (_, unit), values in own.items():
            firsts[unit] = min(firsts.get(unit, float('inf')), *values)
        for (key, unit), values in points.items():
            first = firsts.get(unit, float('inf'))
            points[key, unit] = {step: value for step, value in values.items() if step < first}
        for name, values in own.items():
            points.setdefault(name, {}).update(values)
    curves = {
        key: Curve(unit, sorted(values), [values[step] for step in sorted(values)])
        for (key, unit), values in points.items()
        if values
    }
    if not curves:
        raise UserError(
            f'{path}: nothing was logged. Lower default_hooks.logger.interval, or train longer.'
        )
    return TrainingLog(path, curves)


def _points(file: Path) -> Dict[Tuple[str, str], Dict[float, float]]:
    """Return values by key and unit, then by step."""
    lines: List[dict] = []
    texts = file.read_text(encoding='utf-8', errors='replace').split('\n')
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if line is None and lines and number == len(texts):
            break  # the process ended while it wrote this line
        if not isinstance(line, dict):
            raise UserError(
                f'{file}: line {number} is not a JSON object, as MMEngine writes. Give vis_data/scalars.json of a training.'
            )
        lines.append(line)
    by_epoch = any('epoch' in line for line in lines)
    points: Dict[Tuple[str, str], Dict[float, float]] = {}
    for line in lines:
        training = 'lr' in line or 'iter' in line or 'epoch' in line
        step = line.get('step', line.get('iter'))
        if step is None:
            continue
        unit = 'epoch' if by_epoch and not training else 'iteration'
        for key, value in line.items():
            # Times of a validation are not comparable with those of training steps.
            skipped = key in _COUNTERS or (not training and key in LEFT_OUT)
            if not skipped and isinstance(value, (int, float)):
                points.setdefault((key, unit), {})[step] = float(value)
    return points
