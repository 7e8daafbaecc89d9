"""Check that a file is a PyTorch checkpoint, before the model is built."""

import difflib
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple, Union

from torch import Tensor

from .errors import UserError, listed
from .remote_weights import require_fetchable
from .safe_load import load_safely

_PICKLE_START = b'\x80'  # files of torch < 1.6 are bare pickles
_ZIP_START = b'PK'


def is_remote(path: Union[str, Path]) -> bool:
    """Whether MMEngine fetches ``path`` itself: ``https://``, ``torchvision://``, ``open-mmlab://`` and the like.

    A ``Path`` of a URL has one slash only, which is accepted too.
    """
    return '://' in str(path) or re.match(r'[a-z][\w+.-]+:/', str(path)) is not None


def check_checkpoint_file(path: str, key: str) -> None:
    """Raise if a checkpoint is missing, empty, truncated or not a PyTorch file.

    Args:
        path (str): File name or URL. For a URL, check whether it can be downloaded.
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


def is_state_dict(content: Any) -> bool:
    """Whether an object is a non-empty dict of names and tensors."""
    return (
        isinstance(content, dict)
        and len(content) > 0
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def weights_of(checkpoint: Any, where: str) -> Dict[str, Tensor]:
    """Return the weights of a checkpoint: its ``state_dict``, or the checkpoint itself if it is a plain state dict.

    Args:
        checkpoint (Any): Content of a file.
        where (str): The file, and the option or config key that names it, for the message.

    Raises:
        UserError: When it has no weights, or an entry of its ``state_dict`` is not a tensor.
    """
    weights = (
        checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else checkpoint
    )
    if is_state_dict(weights):
        return weights
    if isinstance(weights, dict):
        odd = [
            f'{name} ({type(value).__name__})'
            for name, value in weights.items()
            if not (isinstance(name, str) and isinstance(value, Tensor))
        ]
        found = listed(odd) or 'an empty dict'
    else:
        found = f'a {type(weights).__name__}'
    raise UserError(
        f'{where} has no weights that can be loaded: expected a state_dict of tensors, found {found}. Give the checkpoint of a '
        'model. If its weights are inside another entry, save that entry alone.'
    )


def read_meta(path: Path) -> Dict[str, Any]:
    """Return the ``meta`` of a checkpoint that was loaded before; empty if it has none or has types unknown to torch."""
    try:
        content = load_safely(path, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError):
        return {}
    meta = content.get('meta') if isinstance(content, dict) else None
    return meta if isinstance(meta, dict) else {}


def read_start(path: str, key: str, suffix: str = '.pth') -> bytes:
    """Read the start of a weights file, and raise if it is missing, empty, a Git LFS pointer or a web page.

    Args:
        path (str): File name.
        key (str): Option or config key that names the file, for the message.
        suffix (str): Ending of such files, to suggest similar names.

    Returns:
        bytes: The first 64 bytes, or fewer.

    Raises:
        UserError: With the reason and what to do.
    """
    file = Path(path).expanduser()
    where = f'{key}: {path}'
    if file.is_dir():
        raise UserError(
            f'{where} is a folder. Give the path of a checkpoint file in it{_candidates(file, suffix)}.'
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
            f'{where} is a Git LFS pointer, not the weights. Run `git lfs pull` in its repository.'
        )
    if start.lstrip().startswith(b'<'):
        raise UserError(
            f'{where} is a web page (it starts with {start[:20]!r}), not a checkpoint. '
            'The download returned a log-in or error page; download the file itself.'
        )
    return start


def check_pretrained_files(cfg: Any, key: str = 'model', hint: str = '') -> None:
    """Check the files of every ``init_cfg=dict(type='Pretrained', checkpoint=...)`` inside a model config.

    Args:
        cfg (Any): The model config.
        key (str): Its own key, for messages.
        hint (str): The config's ``weights_hint``: the command that creates its weights. It is appended to the error.

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
    """Check that the weights of a model config that are named by URL are cached or can be downloaded.

    This is separate from :func:`check_pretrained_files`, because a network error may take long. It runs after all other checks.

    Args:
        cfg (Any): The model config.
        key (str): Its own key, for messages.

    Raises:
        UserError: For the first URL that cannot be downloaded.
    """
    for place, checkpoint in _pretrained(cfg, key):
        if is_remote(checkpoint):
            require_fetchable(checkpoint, place)


def _pretrained(cfg: Any, key: str) -> Iterator[Tuple[str, str]]:
    if isinstance(cfg, dict):
        checkpoint = cfg.get('checkpoint')
        if cfg.get('type') == 'Pretrained' and isinstance(checkpoint, str):
            yield f'{key}.checkpoint', checkpoint
        if isinstance(cfg.get('pretrained'), str):  # older mmseg configs
            yield f'{key}.pretrained', cfg['pretrained']
        for name, value in cfg.items():
            yield from _pretrained(value, f'{key}.{name}')
    elif isinstance(cfg, (list, tuple)):
        for index, value in enumerate(cfg):
            yield from _pretrained(value, f'{key}.{index}')


def _candidates(folder: Path, suffix: str, name: str = '') -> str:
    """List the checkpoints in a folder, closest names first."""
    if not folder.is_dir():
        return ''
    names = sorted(entry.name for entry in folder.glob(f'*{suffix}'))
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names[:3]
    return f'; that folder has {", ".join(nearest)}' if nearest else ''
