"""Atomic writing of output files. All tools use it for files that the user names.

A regular file is written to a temporary name and then moved, so it is complete or does not exist. Links are followed. The content is
copied into devices, pipes and streams of the shell: moving a file onto one of them, such as ``/dev/null``, would replace it.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Iterator, Optional, Union

from .errors import UserError
from .output_folder import require_writable

# A rename cannot replace a file that a container mounts (EBUSY), or reach another disk (EXDEV).
_CANNOT_MOVE = (errno.EBUSY, errno.EXDEV, errno.EPERM)


@contextlib.contextmanager
def write_file(
    path: Union[str, Path],
    mode: str = 'w',
    suffix: str = '.partial',
    durable: bool = False,
    **options: Any,
) -> Iterator[IO]:
    """Open a file for writing. The target changes only if the block ends without an error.

    Args:
        path: The target. Missing folders are created.
        mode: ``'w'`` for text (UTF-8), ``'wb'`` for bytes.
        suffix: Ending of the temporary name. A killed process leaves its temporary file behind.
        durable: Whether to flush the file to disk, so that it survives a power failure.
        **options: Further arguments of ``open``, such as ``newline``.

    Yields:
        A stream. It supports ``seek`` even if the target is a pipe.

    Raises:
        UserError: When the target is a folder or write-protected, or when writing fails. An existing target is then unchanged.
    """
    if 'b' not in mode:
        options.setdefault('encoding', 'utf-8')
    require_target('', path)
    partial = partial_file(path, suffix)
    try:
        with partial.open(mode.replace('w', 'x'), **options) as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        put_file(partial, path)
        if durable:
            _sync_folder(_folder(path))
    except OSError as error:
        raise UserError(
            f'{path} cannot be written ({error}). Free space on that disk, or give another name.'
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def put_file(source: Union[str, Path], target: Union[str, Path]) -> None:
    """Move a finished file to its target: the last step of :func:`write_file`, for files that other code wrote.

    Args:
        source: The finished file. It is removed.
        target: The final name, which may be a link, a device or a pipe.

    Raises:
        UserError: When the target is a folder or write-protected.
    """
    require_target('', target)
    found = _stat(target)
    if found is None or _is_replaceable(found):
        final = os.path.realpath(target)
        os.makedirs(os.path.dirname(final), exist_ok=True)
        try:
            if found is not None:
                _take_over(source, found)
            os.replace(source, final)
            return
        except OSError as error:
            if error.errno not in _CANNOT_MOVE:
                raise
    with open(source, 'rb') as content, _open(target, found) as stream:
        shutil.copyfileobj(content, stream)
    os.unlink(source)


def require_target(option: str, path: Union[str, Path]) -> None:
    """Raise if a file cannot be written to. Nothing is created, so it can be called before anything is computed.

    Args:
        option: The option that names the file, for the message; may be empty.
        path: The file.

    Raises:
        UserError: When it is a folder, write-protected, a loop of links, or in a folder that this user may not write to.
    """
    who = f'{option} {path}'.strip()
    if os.path.isdir(path):
        raise UserError(f'{who} is a folder. Give the name of a file.')
    try:
        found = _stat(path)
    except OSError as error:
        raise UserError(f'{who} cannot be written ({error}). Give another name.') from None
    if found is None:
        require_writable(f'{option}: the folder'.lstrip(': '), _folder(path))
    elif not os.access(path, os.W_OK):
        raise UserError(
            f'{who} is write-protected. Give another name, or make it writable (chmod u+w).'
        )


def _stat(path: Union[str, Path]) -> Optional[os.stat_result]:
    """Return the status of a file, following links; None if the file does not exist."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
    except NotADirectoryError:  # a file in place of a folder; require_writable reports it
        return None


def _folder(path: Union[str, Path]) -> Path:
    """Return the folder of a file, following links."""
    return Path(os.path.realpath(path)).parent


def _is_replaceable(found: os.stat_result) -> bool:
    """Whether moving another file onto this one is safe: it is a regular file, has no other hard links and is not an open stream."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and _stream(found) is None


def _stream(found: Optional[os.stat_result]) -> Optional[IO]:
    """Return the stream of this process that a path such as ``/dev/stdout`` refers to, or None."""
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if stream is None or found is None:
                continue
            if os.path.samestat(found, os.fstat(stream.fileno())):
                return stream
    return None


def _open(target: Union[str, Path], found: Optional[os.stat_result]) -> IO:
    stream = _stream(found)
    if stream is None:
        return open(target, 'wb')
    # Duplicate its descriptor to write after what was printed. Opening a redirected file again would start at its beginning.
    stream.flush()
    return os.fdopen(os.dup(stream.fileno()), 'wb')


def _sync_folder(folder: Path) -> None:
    """Flush the directory entry to disk. Windows cannot open folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take_over(source: Union[str, Path], found: os.stat_result) -> None:
    """Copy the permissions, and if permitted the owner, of the file that is replaced."""
    with contextlib.suppress(OSError, AttributeError):
        os.chown(source, found.st_uid, found.st_gid)
    os.chmod(source, stat.S_IMODE(found.st_mode))


def partial_file(target: Union[str, Path], suffix: str = '.partial') -> Path:
    """Return an unused temporary name for an output file.

    The name is in the folder of the target, or in the system's temporary folder if the file cannot be moved onto the target.

    Args:
        target: The later target of :func:`put_file`.
        suffix: Ending of the name.

    Returns:
        A path in an existing folder.
    """
    found = _stat(target)
    folder = _folder(target)
    if found is not None and not (_is_replaceable(found) and os.access(folder, os.W_OK | os.X_OK)):
        folder = Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f'.{secrets.token_hex(8)}{suffix}'
