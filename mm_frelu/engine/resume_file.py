"""Find the checkpoint that a run resumes from: the newest intact one in the work folder.

A killed process may leave damaged files. A checkpoint is intact when its checksums are right and it has the ``meta`` of a training run.
It is read without running code from it.
"""

import os
import re
import zipfile
from pathlib import Path
from string import Formatter
from typing import List, Optional, Tuple

from mmengine.config import Config

from .checkpoint_file import is_remote
from .errors import UserError, first_line
from .safe_load import load_safely, unknown_kind

_LONGEST_PATH = 4096


def newest_whole_checkpoint(cfg: Config) -> Tuple[Optional[str], List[str]]:
    """Find the newest intact checkpoint of a work folder.

    The file that ``last_checkpoint`` names is tried first, unless a later checkpoint was written after it. The others follow, newest first.

    Args:
        cfg: A config with ``work_dir``. ``default_hooks.checkpoint`` gives the names and the folder of the checkpoints.

    Returns:
        The checkpoint (None if there is none yet), and messages about what is wrong in the folder.

    Raises:
        UserError: When there are checkpoints, but none of them is intact.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    folder = _folder(cfg.work_dir, hook.get('out_dir'))
    if is_remote(folder):
        return _first_line_of(Path(cfg.work_dir) / 'last_checkpoint') or None, []
    template = hook.get('filename_tmpl') or (
        'epoch_{}.pth' if hook.get('by_epoch', True) else 'iter_{}.pth'
    )
    candidates, notices = _candidates(Path(cfg.work_dir), Path(folder), template)
    damages: List[str] = []
    for path in candidates:
        reason = damage(path)
        if not reason:
            if damages or notices:
                notices += [f'--resume: {text}. It is skipped.' for text in damages]
                notices.append(
                    f'--resume: the run continues from {path}, the newest intact checkpoint.'
                )
            return str(path), notices
        damages.append(f'{path} {reason}')
    if damages:
        raise UserError(
            f'--resume: there is no intact checkpoint in {folder}: {"; ".join(damages)}. Give another one with --resume PATH, or '
            'start a new run without --resume.'
        )
    return None, notices


def name_pattern(template: str) -> str:
    """Return the regular expression of the file names that a template such as ``iter_{}.pth`` or ``iter_{:06d}.pth`` gives.

    Group 1 is the number of the epoch or iteration, if the template has it.
    """
    return ''.join(
        re.escape(text) + ('' if field is None else r'(\d+)')
        for text, field, _, _ in Formatter().parse(template)
    )


def damage(path: Path) -> str:
    """Describe what is wrong with a checkpoint, as a sentence without its subject; empty for an intact one."""
    try:
        size = path.stat().st_size
        if size == 0:
            return 'is empty (0 bytes)'
        zipped = zipfile.is_zipfile(path)
        if not zipped and _starts_as_zip(path):
            return f'is cut off after {size} bytes'
        if zipped:  # PyTorch does not verify the checksums
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()
            if bad is not None:
                return f'is damaged (the checksum of {bad} in it is wrong)'
        content = load_safely(path, mmap=zipped)
    except OSError as error:
        return f'cannot be read ({error.strerror or error})'
    except Exception as error:  # torch raises many types for damaged files
        kind = unknown_kind(error)
        if kind:
            return f'holds {kind}, and reading that could run code from the file'
        return f'cannot be read as a PyTorch file ({first_line(error)})'
    if not isinstance(content, dict) or not isinstance(content.get('meta'), dict):
        return 'is not a checkpoint of a training run'
    return ''


def require_whole(path: str, key: str) -> None:
    """Raise if :func:`damage` finds something wrong with a checkpoint.

    Raises:
        UserError: With the reason.
    """
    reason = damage(Path(path).expanduser())
    if 'could run code' in reason:
        reason += '. If you trust the file, allow the type in a module of custom_imports: torch.serialization.add_safe_globals([...])'
    if reason:
        raise UserError(f'{key}: {path} {reason}.')


def _folder(work_dir: str, out_dir: Optional[str]) -> str:
    """Return the folder that CheckpointHook writes to: inside ``out_dir`` it is named after the work folder."""
    if out_dir is None or out_dir == work_dir:
        return str(work_dir)
    return os.path.join(out_dir, os.path.basename(str(work_dir).rstrip(os.sep)))


def _candidates(work_dir: Path, folder: Path, template: str) -> Tuple[List[Path], List[str]]:
    """Return the checkpoints in the order in which to try them, and what is wrong with ``last_checkpoint``."""
    pattern = name_pattern(template)
    numbers = {
        path: int(found[1]) if found.lastindex else 0
        for path in (folder.iterdir() if folder.is_dir() else ())
        for found in [re.fullmatch(pattern, path.name)]
        if found and path.is_file()
    }
    by_time = sorted(numbers, key=lambda path: (path.stat().st_mtime, numbers[path]), reverse=True)
    pointer = work_dir / 'last_checkpoint'
    if not pointer.is_file():
        return by_time, []
    named = _first_line_of(pointer)
    path = folder / Path(named).name  # the work folder may have been moved or copied
    if not os.path.isfile(path):
        path = Path(named)
    if not named or is_remote(named) or not os.path.isfile(path):
        what = f'names {named[:200]!r}, which is not a file' if named else 'is empty'
        return by_time, [f'--resume: {pointer} {what}.'] if by_time or named else []
    later = [
        other
        for other in by_time
        if other.stat().st_mtime > pointer.stat().st_mtime
        and numbers[other] > numbers.get(folder / path.name, -1)
    ]
    rest = [other for other in by_time if other not in later and other.resolve() != path.resolve()]
    return [*later, path, *rest], []


def _first_line_of(pointer: Path) -> str:
    if not pointer.is_file():
        return ''
    with pointer.open(errors='replace') as stream:
        return stream.read(_LONGEST_PATH).strip().partition('\n')[0].replace('\0', '')


def _starts_as_zip(path: Path) -> bool:
    with path.open('rb') as stream:
        return stream.read(2) == b'PK'
