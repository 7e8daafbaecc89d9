"""The one way in which this package writes a file that a user named.

A regular file is there whole or not at all: it is written to a temporary name and moved. A link is followed, and a device, a
pipe or a stream of the shell is written into: moving a file onto one of them would replace it, ``/dev/null`` included.
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
    """Open a file for writing; when the block ends without an error, the file has what was written.

    Args:
        path: Where to; missing folders are made.
        mode: ``'w'`` for text (UTF-8), ``'wb'`` for bytes.
        suffix: How the temporary name ends; a killed process leaves its temporary file behind.
        durable: Whether to wait until the disk has the file, so that a power cut cannot take it back.
        **options: Further arguments of ``open``, such as ``newline``.

    Yields:
        A stream. It can be searched (``seek``) even where the target is a pipe.

    Raises:
        UserError: When the target is a folder or write-protected, or the disk does not take the file. What was there is as
            it was then.
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
            f'{path} cannot be written ({error}). Make room on that disk, or give another name.'
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def put_file(source: Union[str, Path], target: Union[str, Path]) -> None:
    """Move a finished file to the name that it is for: the last step of :func:`write_file`, for files that others wrote.

    Args:
        source: The finished file. It is gone afterwards.
        target: A name for it, which may be a link, a device or a pipe.

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
    """Refuse a name that no file can be written to, before anything is computed. Nothing is made by it.

    Args:
        option: The option that names the file, for the message; may be empty.
        path: The file.

    Raises:
        UserError: When it is a folder, write-protected, a circle of links, or in a folder that this user may not write to.
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
    """The state of what a path leads to; None for a new file, and for a link to one."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
    except NotADirectoryError:  # a file where a folder should be; told by require_writable
        return None


def _folder(path: Union[str, Path]) -> Path:
    """The folder in which the file lies, links followed."""
    return Path(os.path.realpath(path)).parent


def _is_replaceable(found: os.stat_result) -> bool:
    """Whether another file may take the place: not that of a second name for it (a hard link), nor of an open stream."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and _stream(found) is None


def _stream(found: Optional[os.stat_result]) -> Optional[IO]:
    """The stream of this process that a path such as ``/dev/stdout`` is, or None."""
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
    # Its own descriptor, behind what was printed: a second one would begin at the start of a redirected file.
    stream.flush()
    return os.fdopen(os.dup(stream.fileno()), 'wb')


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder; Windows cannot open one."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take_over(source: Union[str, Path], found: os.stat_result) -> None:
    """Give a file the permissions, and where the system lets us the owner, of the file whose place it takes."""
    with contextlib.suppress(OSError, AttributeError):
        os.chown(source, found.st_uid, found.st_gid)
    os.chmod(source, stat.S_IMODE(found.st_mode))


def partial_file(target: Union[str, Path], suffix: str = '.partial') -> Path:
    """A free name for a file until it is finished: beside the target, or among temporary files where it cannot be moved.

    Args:
        target: What :func:`put_file` will be told.
        suffix: How the name ends.

    Returns:
        A path in a folder that exists.
    """
    found = _stat(target)
    folder = _folder(target)
    if found is not None and not (_is_replaceable(found) and os.access(folder, os.W_OK | os.X_OK)):
        folder = Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f'.{secrets.token_hex(8)}{suffix}'
