"""Prepare a training checkpoint for publication: weights, preprocessing, and a file name with a hash."""

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
"""Keys that are published. Optimizer, schedulers, message hub and averages are only needed to resume."""

PRIVATE = ('hook_msgs', 'env_info', 'host_name')
"""Entries of ``meta`` about the machine of the training (paths of its checkpoints, its GPUs). They are not published."""

HASH_DIGITS = 8  # as in file names of OpenMMLab and torch.hub


class Published(NamedTuple):
    """Result of :func:`publish`.

    Attributes:
        path: The file.
        notes: Sentences for the user about what was removed and what is unknown.
    """

    path: Path
    notes: List[str]


def publish(source: str, out: str, averaged: bool = True) -> Published:
    """Strip a checkpoint, record its preprocessing, and name the result ``{name}_{date}-{hash8}.pth``.

    The hash is the beginning of the SHA-256 of the written file. The date is that of the training if the checkpoint has it,
    so that publishing twice gives the same file and the same name.

    Args:
        source: A checkpoint, or a plain state dict.
        out: A folder, in which the file gets the name of the config; or a file name that ends with ``.pth``, whose stem
            replaces the name of the config.
        averaged: For a model trained with EMAHook, whether to publish the averaged weights (which ``tools/test.py`` tests)
            or those of the optimizer.

    Returns:
        The file and notes for the user.

    Raises:
        UserError: If the source is not a checkpoint, ``averaged`` is False for a model without EMAHook, or a file of that
            name with different content exists.
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
        notes.append(f'Removed: {", ".join(dropped)}.')
    meta = {key: _plain(value) for key, value in checkpoint['meta'].items() if key not in PRIVATE}
    _record_preprocessing(checkpoint, meta, notes)

    name = target.stem if is_file else _config_name(checkpoint['meta'], source, notes)
    written = folder / f'.{name}.publishing.pth'
    try:
        save_checkpoint(dict(meta=meta, state_dict=compact(weights)), written, 'OUT')
        if not loads_as_weights_only(written):
            notes.append(
                'Its meta has objects that torch.load(weights_only=True) rejects. MMEngine can still load the file.'
            )
        digest = sha256(written)
        final = folder / f'{name}_{_date(checkpoint["meta"], source)}-{digest[:HASH_DIGITS]}.pth'
        if final.exists() and sha256(final) != digest:
            raise UserError(
                f'OUT: {final} exists already and has different content. Remove it, or give another OUT.'
            )
        if final.exists():
            notes.append('The same file existed already.')
        else:
            put_file(written, final)
    finally:
        written.unlink(missing_ok=True)
    return Published(final, notes)


def _choose_weights(
    checkpoint: Dict[str, Any], source: str, averaged: bool, notes: List[str]
) -> Dict[str, Any]:
    """Select the averages (``state_dict`` with MMEngine's EMAHook) or the optimizer's weights (``ema_state_dict``)."""
    weights = checkpoint['state_dict']
    other = checkpoint.get('ema_state_dict')
    if other is None:
        if not averaged:
            raise UserError(
                f'--no-ema: {source} was not trained with EMAHook (it has no ema_state_dict). Omit the option.'
            )
        return weights
    if averaged:
        notes.append('Published: the averaged weights (EMA), which tools/test.py tests.')
        return weights
    notes.append('Published: the weights of the optimizer, not their average (--no-ema).')
    prefix = 'module.'
    raw = {key[len(prefix) :]: value for key, value in other.items() if key.startswith(prefix)}
    return {key: raw.get(key, value) for key, value in weights.items()}


def _record_preprocessing(
    checkpoint: Dict[str, Any], meta: Dict[str, Any], notes: List[str]
) -> None:
    pixels = preprocessing.of_checkpoint(checkpoint)
    if pixels is None:
        notes.append(
            'The preprocessing of the weights is unknown, because meta has no config. State it where you publish them.'
        )
        return
    # The entry of a converter may have more keys than these three.
    recorded = meta.get('preprocessing')
    meta['preprocessing'] = {
        **(recorded if isinstance(recorded, dict) else {}),
        **pixels.as_dict(),
    }
    notes.append(f'Preprocessing: {pixels}.')


def _config_name(meta: Dict[str, Any], source: str, notes: List[str]) -> str:
    """Return the name of the config: MMEngine names an experiment after its config and starting time."""
    experiment = meta.get('experiment_name')
    # The name of a checkpoint from elsewhere must not lead out of OUT.
    named = re.fullmatch(
        r'([^/\\]+)_\d{8}_\d{6}', experiment if isinstance(experiment, str) else ''
    )
    if named:
        return named.group(1)
    notes.append('The checkpoint does not have the name of its config, so the file keeps its name.')
    return Path(source).stem


def _date(meta: Dict[str, Any], source: str) -> str:
    stamp: Optional[str] = meta.get('time') if isinstance(meta.get('time'), str) else None
    if stamp and re.match(r'20\d{6}', stamp):
        return stamp[:8]
    return datetime.fromtimestamp(os.path.getmtime(Path(source).expanduser())).strftime('%Y%m%d')


def _plain(value: Any) -> Any:
    """Convert NumPy numbers and arrays, which ``weights_only=True`` rejects, to numbers and lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value
