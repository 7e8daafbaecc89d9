"""A training checkpoint made ready for other people: weights, what they were trained on, and a name that proves itself."""

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from mm_frelu.engine import preprocessing
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.write_file import put_file

from .files import compact, loads_as_weights_only, read_checkpoint, sha256
from .saving import save_checkpoint

KEPT = ('state_dict', 'meta')
"""All that is published. Optimizer, schedulers, message hub and averages are for resuming."""

PRIVATE = ('hook_msgs', 'env_info', 'host_name')
"""Entries of ``meta`` that are about the machine of the training (paths of its checkpoints, its GPUs), not the weights."""

HASH_DIGITS = 8  # as OpenMMLab and torch.hub have them in file names


class Published(NamedTuple):
    """What :func:`publish` did.

    Attributes:
        path: The file.
        notes: Sentences for the user: what was left out, what is not known.
    """

    path: Path
    notes: List[str]


def publish(source: str, out: str, averaged: bool = True) -> Published:
    """Strip a checkpoint, record its preprocessing, and name the result ``{name}_{date}-{hash8}.pth``.

    The hash is the beginning of the SHA-256 of the written file. The date is that of the training where the checkpoint
    tells it, so that publishing twice gives the same file and the same name.

    Args:
        source: A checkpoint, or a bare state dict.
        out: A folder: the name is that of the config. Or a file name that ends with ``.pth``: its stem takes the place of
            the config's name.
        averaged: Of a model trained with EMAHook, publish the averaged weights (which ``tools/test.py`` tests), or else
            those that the optimizer left.

    Raises:
        UserError: When the source is not a checkpoint, has no averages although ``averaged`` is False, or a file of that
            name with other contents is there already.
    """
    target = Path(out).expanduser()
    is_file = target.suffix == '.pth' and not target.is_dir()
    folder = target.parent if is_file else target
    require_writable('OUT: the folder', folder)
    checkpoint = read_checkpoint(source, 'IN')
    notes: List[str] = []
    weights = _choose_weights(checkpoint, source, averaged, notes)
    dropped = sorted(set(checkpoint) - {*KEPT, 'ema_state_dict'})
    if dropped:
        notes.append(f'Left out: {", ".join(dropped)}.')
    meta = {key: _plain(value) for key, value in checkpoint['meta'].items() if key not in PRIVATE}
    _record_preprocessing(checkpoint, meta, notes)

    name = target.stem if is_file else _config_name(checkpoint['meta'], source, notes)
    written = folder / f'.{name}.publishing.pth'
    try:
        save_checkpoint(dict(meta=meta, state_dict=compact(weights)), written, 'OUT')
        if not loads_as_weights_only(written):
            notes.append(
                'Its meta has objects that torch.load(weights_only=True) refuses; MMEngine reads it all the same.'
            )
        digest = sha256(written)
        final = folder / f'{name}_{_date(checkpoint["meta"], source)}-{digest[:HASH_DIGITS]}.pth'
        if final.exists() and sha256(final) != digest:
            raise UserError(
                f'{final} is there already and has other contents. Remove it, or give another OUT.'
            )
        if final.exists():
            notes.append('The same file was there already.')
        else:
            put_file(written, final)
    finally:
        written.unlink(missing_ok=True)
    return Published(final, notes)


def _choose_weights(
    checkpoint: Dict[str, Any], source: str, averaged: bool, notes: List[str]
) -> Dict[str, Any]:
    """MMEngine's EMAHook saves the averages as ``state_dict`` and the optimizer's weights as ``ema_state_dict``."""
    weights = checkpoint['state_dict']
    other = checkpoint.get('ema_state_dict')
    if other is None:
        if not averaged:
            raise UserError(
                f'--no-ema: {source} was not trained with EMAHook (it has no ema_state_dict); leave the option out.'
            )
        return weights
    if averaged:
        notes.append('Published: the averaged weights (EMA), which tools/test.py tests.')
        return weights
    notes.append('Published: the weights that the optimizer left, not their average (--no-ema).')
    prefix = 'module.'
    raw = {key[len(prefix) :]: value for key, value in other.items() if key.startswith(prefix)}
    return {key: raw.get(key, value) for key, value in weights.items()}


def _record_preprocessing(
    checkpoint: Dict[str, Any], meta: Dict[str, Any], notes: List[str]
) -> None:
    pixels = preprocessing.of_checkpoint(checkpoint)
    if pixels is None:
        notes.append(
            'Which preprocessing the weights expect is not known: meta has no config. Say it where you publish them.'
        )
        return
    # An entry of a converter may say more than these three.
    recorded = meta.get('preprocessing')
    meta['preprocessing'] = {
        **(recorded if isinstance(recorded, dict) else {}),
        **pixels.as_dict(),
    }
    notes.append(f'Preprocessing: {pixels}.')


def _config_name(meta: Dict[str, Any], source: str, notes: List[str]) -> str:
    """MMEngine names an experiment after its config and the second it began."""
    experiment = meta.get('experiment_name')
    named = re.fullmatch(r'(.+)_\d{8}_\d{6}', experiment) if isinstance(experiment, str) else None
    if named:
        return named.group(1)
    notes.append('The checkpoint does not name its config, so the file keeps its own name.')
    return Path(source).stem


def _date(meta: Dict[str, Any], source: str) -> str:
    stamp: Optional[str] = meta.get('time') if isinstance(meta.get('time'), str) else None
    if stamp and re.match(r'20\d{6}', stamp):
        return stamp[:8]
    return datetime.fromtimestamp(os.path.getmtime(Path(source).expanduser())).strftime('%Y%m%d')


def _plain(value: Any) -> Any:
    """Numbers and lists in place of NumPy's, which ``weights_only=True`` refuses."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value
