"""Explain in one paragraph why a config cannot be read: which file, which line and what is wrong.

MMEngine executes a temporary copy of a config, so Python's error names ``<unknown>`` or that copy. A file that ``_base_`` names appears
only in the traceback. A config is code, so it may raise any exception.
"""

import linecache
import os
import re
import traceback
from types import FrameType
from typing import Iterator, Optional, Tuple

import mmengine.config.config as mmengine_config

from .errors import UserError

_READERS = ('fromfile', '_file2dict', '_is_lazy_import', '_parse_lazy_import')


def config_error(config: str, error: Exception) -> UserError:
    """Build the error that replaces an exception of ``Config.fromfile``.

    Args:
        config: The config as the user named it.
        error: The exception.

    Returns:
        An error that names the wrong file, which may be one that ``_base_`` names, and the line if it is known.
    """
    file, line, text = _place(error)
    place = ''
    if file is not None and not _is_same(file, config):
        place += f'{file}, which it needs (_base_), '
    if line is not None:
        place += f'line {line} '
        place += f'(`{text}`) ' if text else ''
    return UserError(f'config {config}: {place}{_reason(error, file)}')


def _place(error: Exception) -> Tuple[Optional[str], Optional[int], str]:
    """Return the file, the line number and the text of the line."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    # MMEngine reads each file of the chain in its own call, with the file name among its local variables.
    files = [str(frame.f_locals['filename']) for frame in frames if _reads_a_config(frame)]
    files = [file for file in files if os.path.isfile(os.path.expanduser(file))]
    file = os.path.normpath(files[-1]) if files else None
    if isinstance(error, SyntaxError):
        found = _original(error)
        return file, found.lineno, (found.text or _line(file, found.lineno)).strip()
    executed = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if file is not None and _is_same(frame.f_code.co_filename, file)
    ]
    if executed:
        return file, executed[-1][1], _line(*executed[-1]).strip()
    return file, None, ''


def _reads_a_config(frame: FrameType) -> bool:
    """Whether a frame reads a file of the user; others read the temporary copy."""
    code = frame.f_code
    return code.co_filename == mmengine_config.__file__ and code.co_name in _READERS


def _is_same(one: str, other: str) -> bool:
    return os.path.abspath(os.path.expanduser(one)) == os.path.abspath(os.path.expanduser(other))


def _line(file: Optional[str], line: Optional[int]) -> str:
    return linecache.getline(file, line) if file and line else ''


def _original(error: SyntaxError) -> SyntaxError:
    """Return Python's own error, which MMEngine replaces with one that names the temporary copy."""
    return error.__context__ if isinstance(error.__context__, SyntaxError) else error


def _reason(error: Exception, file: Optional[str]) -> str:
    """Say what is wrong and what to do."""
    first = ' '.join(str(error).split())
    if isinstance(error, SyntaxError):
        # If the error is in MMEngine's copy only, the file itself is valid Python, but a value filled into it is not.
        for name in () if error.lineno else _variables(file):
            value = os.environ.get(name, '')
            if re.search('[\'"\\\\]', value):
                return (
                    f'is not valid Python after MMEngine has inserted the environment variable {name}, because its value has a '
                    f'quote or backslash ({value}). Write r"""{{{{${name}:...}}}}""", in triple quotes.'
                )
        if not error.lineno and re.search('[\'"]', file or ''):
            return (
                'is not valid Python after MMEngine has inserted the name of the file, because the name has a quote. Write '
                'r"""{{ fileDirname }}""" and similar variables in triple quotes.'
            )
        return f'is not valid Python: {_original(error).msg}. Fix that line, or a bracket or quote before it.'
    if isinstance(error, FileNotFoundError):
        return f'needs a file that does not exist (_base_, or one that it opens): {error.filename or first}.'
    if isinstance(error, UnicodeDecodeError):
        return f'is not UTF-8 text ({first}). Save the file as UTF-8.'
    if isinstance(error, RecursionError):
        return 'refers to itself: through its _base_, or through a value that contains itself.'
    if isinstance(error, NameError):
        return f'uses a name that the file does not define ({first}). Write _base_.NAME for variables of its _base_.'
    if isinstance(error, ImportError):
        cause: BaseException = error
        while cause.__cause__ or cause.__context__:
            cause = cause.__cause__ or cause.__context__ or cause
        return f'needs a module that cannot be imported ({cause}). Install it, or add its folder to PYTHONPATH.'
    if isinstance(error, KeyError) and re.fullmatch(r"'\w+'", first):
        return f'uses {first} of its _base_, which has no such key.'
    return f'cannot be read: {type(error).__name__}: {first}'


def _variables(file: Optional[str]) -> Iterator[str]:
    """Yield the environment variables that a config uses as ``{{$NAME:...}}``."""
    if file is not None and os.path.isfile(file):
        with open(file, encoding='utf-8', errors='replace') as stream:
            yield from re.findall(r'\{\{\s*\$(\w+)', stream.read())
