"""One paragraph for a config that cannot be read: which file, which line, what is wrong there.

MMEngine reads a config through a temporary copy and executes it, so Python speaks of ``<unknown>`` or of the name of that copy, and of
a file that a ``_base_`` names the user sees nothing but the traceback. A config is code: any exception may come out of it.
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
    """What to raise in place of an exception of ``Config.fromfile``.

    Args:
        config: The config as the user named it.
        error: The exception.

    Returns:
        An error that names the file that is wrong, which may be one that ``_base_`` names, and the line where there is one.
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
    """File, line and its text."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    # MMEngine reads each file of the chain in a call that has its name.
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
    """Whether it is a call for a file of the user's; others read the temporary copy."""
    code = frame.f_code
    return code.co_filename == mmengine_config.__file__ and code.co_name in _READERS


def _is_same(one: str, other: str) -> bool:
    return os.path.abspath(os.path.expanduser(one)) == os.path.abspath(os.path.expanduser(other))


def _line(file: Optional[str], line: Optional[int]) -> str:
    return linecache.getline(file, line) if file and line else ''


def _original(error: SyntaxError) -> SyntaxError:
    """Python's own error, which MMEngine replaces by one with the name of the temporary copy."""
    return error.__context__ if isinstance(error.__context__, SyntaxError) else error


def _reason(error: Exception, file: Optional[str]) -> str:
    """What is wrong, and what to do."""
    first = ' '.join(str(error).split())
    if isinstance(error, SyntaxError):
        # Where MMEngine speaks of its copy, the file itself is Python: what was filled in is not.
        for name in () if error.lineno else _variables(file):
            value = os.environ.get(name, '')
            if re.search('[\'"\\\\]', value):
                return (
                    f'is not Python once MMEngine has put the environment variable {name} into it, whose value has a quote '
                    f'or backslash ({value}). Write r"""{{{{${name}:...}}}}""", in three quotes.'
                )
        if not error.lineno and re.search('[\'"]', file or ''):
            return (
                'is not Python once MMEngine has put the name of the file into it, which has a quote. Write '
                'r"""{{ fileDirname }}""" and the like in three quotes.'
            )
        return f'is not Python: {_original(error).msg}. Mend that line, or a bracket or quote before it.'
    if isinstance(error, FileNotFoundError):
        return f'needs a file that does not exist (_base_, or one that it opens): {error.filename or first}.'
    if isinstance(error, UnicodeDecodeError):
        return f'is not UTF-8 text ({first}). Save the file as UTF-8.'
    if isinstance(error, RecursionError):
        return 'leads back to itself: a _base_ that names a file which needs this one, or a value that contains itself.'
    if isinstance(error, NameError):
        return f'uses a name that the file does not define ({first}). What its _base_ defines is called _base_.NAME there.'
    if isinstance(error, ImportError):
        cause: BaseException = error
        while cause.__cause__ or cause.__context__:
            cause = cause.__cause__ or cause.__context__ or cause
        return (
            f'needs a module that cannot be imported ({cause}). Install it, or put the folder that it lies in into '
            'PYTHONPATH.'
        )
    if isinstance(error, KeyError) and re.fullmatch(r"'\w+'", first):
        return f'asks its _base_ for {first}, which is no key there.'
    return f'cannot be read: {type(error).__name__}: {first}'


def _variables(file: Optional[str]) -> Iterator[str]:
    """Environment variables that a config names by ``{{$NAME:...}}``."""
    if file is not None and os.path.isfile(file):
        with open(file, encoding='utf-8', errors='replace') as stream:
            yield from re.findall(r'\{\{\s*\$(\w+)', stream.read())
