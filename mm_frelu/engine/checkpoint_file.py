"""Is this file a PyTorch checkpoint at all? Asked before a model is built, so that the answer comes in a second."""

import difflib
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple, Union

import mmengine.runner.checkpoint as mmengine_checkpoint
import numpy as np
import torch

from .errors import UserError
from .remote_weights import require_fetchable

# MMEngine stores its log in a checkpoint, and tells torch.load of the number types that it may build for it, but not of
# float32, which mmseg logs. Without it every such checkpoint is read with an alarm about "arbitrary code execution", and unsafely.
if hasattr(torch.serialization, 'add_safe_globals'):  # torch >= 2.4
    torch.serialization.add_safe_globals([type(np.dtype(np.float32))])

_PICKLE_START = b'\x80'  # files of torch < 1.6 are bare pickles
_ZIP_START = b'PK'


def is_remote(path: Union[str, Path]) -> bool:
    """Whether MMEngine fetches ``path`` itself: ``https://``, ``torchvision://``, ``open-mmlab://`` and the like.

    A ``Path`` has lost one of the two slashes.
    """
    return '://' in str(path) or re.match(r'[a-z][\w+.-]+:/', str(path)) is not None


def check_checkpoint_file(path: str, key: str) -> None:
    """Refuse a checkpoint that is missing, empty, cut off or something else than a PyTorch file.

    Args:
        path (str): File name or URL; of a URL it is asked whether it can be fetched.
        key (str): Option or config key that names the file, for the message.

    Raises:
        UserError: With the reason and what to do.
    """
    if is_remote(path):
        require_fetchable(str(path), key)
        return
    start = read_start(path, key)
    file = Path(path).expanduser()
    where = f'{key}: {path}'
    if start.startswith(_ZIP_START):
        if not zipfile.is_zipfile(file):
            raise UserError(
                f'{where} is cut off after {file.stat().st_size} bytes: the end of the archive is '
                'missing. Download or copy it again.'
            )
    elif not start.startswith(_PICKLE_START):
        raise UserError(
            f'{where} is not a PyTorch checkpoint (it starts with {start[:12]!r}; expected the '
            'file that torch.save writes).'
        )


def load_safely(path: Path, mmap: bool = False) -> Any:
    """Read a file without running code from it, the histories of numbers that MMEngine logs included.

    Args:
        path (Path): A file of ``torch.save``.
        mmap (bool): Leave tensors on the disk until they are looked at; only for files of torch >= 1.6.

    Raises:
        Exception: Whatever torch raises for damaged files and for types that it does not know.
    """
    kinds = getattr(mmengine_checkpoint, 'get_torch_safe_globals', list)()
    if not kinds or not hasattr(torch.serialization, 'safe_globals'):
        # Before torch 2.5 there is no way to name the types to trust: as MMEngine does there.
        return torch.load(path, map_location='cpu', weights_only=False, mmap=mmap)
    with torch.serialization.safe_globals(kinds):
        return torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)


def unknown_kind(error: BaseException) -> str:
    """The type that torch refused to build, out of its page of advice; empty where that was not the reason."""
    found = re.search(r'(?:GLOBAL|class) ([\w.]+)', str(error))
    return found.group(1) if found and isinstance(error, pickle.UnpicklingError) else ''


def first_line(error: BaseException) -> str:
    """What was the matter, without torch's page of advice."""
    # Behind its advice on options torch says what the matter was.
    reason = str(error).rpartition('WeightsUnpickler error: ')[2].strip()
    return reason.splitlines()[0][:160] if reason else type(error).__name__


def read_meta(path: Path) -> Dict[str, Any]:
    """The ``meta`` of a checkpoint that was loaded before; empty where it has none or holds types unknown to torch."""
    try:
        content = load_safely(path, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError):
        return {}
    meta = content.get('meta') if isinstance(content, dict) else None
    return meta if isinstance(meta, dict) else {}


def read_start(path: str, key: str, suffix: str = '.pth') -> bytes:
    """Refuse a file of weights that is missing, empty, a Git LFS pointer or a web page.

    Args:
        path (str): File name.
        key (str): Option or config key that names the file, for the message.
        suffix (str): How names of such files end, to find near ones.

    Returns:
        bytes: The first 64 bytes, or fewer.

    Raises:
        UserError: With the reason and what to do.
    """
    file = Path(path).expanduser()
    where = f'{key}: {path}'
    if file.is_dir():
        raise UserError(
            f'{where} is a folder. Give a checkpoint file in it{_candidates(file, suffix)}.'
        )
    if not file.is_file():
        raise UserError(
            f'{where} does not exist (looked for {file.absolute()})'
            f'{_candidates(file.parent, suffix, file.name)}. Give the path of a checkpoint ({suffix}).'
        )
    try:
        with file.open('rb') as stream:
            start = stream.read(64)
    except OSError as error:
        raise UserError(f'{where} cannot be read: {error}.') from error
    if not start:
        raise UserError(f'{where} is empty (0 bytes). Download or train it again.')
    if start.startswith(b'version https://git-lfs'):
        raise UserError(
            f'{where} is a Git LFS pointer, not the weights. Run `git lfs pull` where it came from.'
        )
    if start.lstrip().startswith(b'<'):
        raise UserError(
            f'{where} is a web page (it starts with {start[:20]!r}), not a checkpoint. '
            'The download went to a log-in or error page; fetch the file itself.'
        )
    return start


def check_pretrained_files(cfg: Any, key: str = 'model', hint: str = '') -> None:
    """Check the files of every ``init_cfg=dict(type='Pretrained', checkpoint=...)`` inside a model config.

    Args:
        cfg (Any): The model config.
        key (str): Its own key, for messages.
        hint (str): The config's ``weights_hint``: which command makes its weights. Told when they are not there yet.

    Raises:
        UserError: For the first file that is not a checkpoint.
    """
    for place, checkpoint in _pretrained(cfg, key):
        if is_remote(checkpoint):
            continue
        try:
            check_checkpoint_file(checkpoint, place)
        except UserError as error:
            if not hint:
                raise
            raise UserError(f'{error} {hint}') from error


def check_pretrained_addresses(cfg: Any, key: str = 'model') -> None:
    """Check that the weights of a model config which are no files are here already, or can be fetched.

    Apart from :func:`check_pretrained_files`, because a network may take its time to say no: everything else comes first.

    Args:
        cfg (Any): The model config.
        key (str): Its own key, for messages.

    Raises:
        UserError: For the first address that cannot be fetched.
    """
    for place, checkpoint in _pretrained(cfg, key):
        if is_remote(checkpoint):
            require_fetchable(checkpoint, place)


def _pretrained(cfg: Any, key: str) -> Iterator[Tuple[str, str]]:
    if isinstance(cfg, dict):
        checkpoint = cfg.get('checkpoint')
        if cfg.get('type') == 'Pretrained' and isinstance(checkpoint, str):
            yield f'{key}.checkpoint', checkpoint
        if isinstance(cfg.get('pretrained'), str):  # mmseg's older way
            yield f'{key}.pretrained', cfg['pretrained']
        for name, value in cfg.items():
            yield from _pretrained(value, f'{key}.{name}')
    elif isinstance(cfg, (list, tuple)):
        for index, value in enumerate(cfg):
            yield from _pretrained(value, f'{key}.{index}')


def _candidates(folder: Path, suffix: str, name: str = '') -> str:
    """Name the checkpoints that are there, nearest first."""
    if not folder.is_dir():
        return ''
    names = sorted(entry.name for entry in folder.glob(f'*{suffix}'))
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names[:3]
    return f'; that folder has {", ".join(nearest)}' if nearest else ''
