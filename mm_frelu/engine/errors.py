"""Errors that the user can fix. The tools print them as one paragraph, without a traceback."""

import functools
import os
import sys
from typing import Any, Callable, Iterable

_INTERRUPTED = 130  # what shells report after Ctrl-C: 128 + SIGINT


class UserError(ValueError):
    """Error in the user's input: a path, a file, a label or a config key.

    The message says in one or two sentences what is wrong, where, what was expected and found, and what to do. The tools
    print it and exit with code 1. In a notebook or your own script it is an ordinary ``ValueError``.

    Args:
        message (str): The paragraph to show. PyTorch rebuilds the error of a DataLoader worker in the main process, with the
            worker's traceback in front. That traceback is removed here.
    """

    def __init__(self, message: str) -> None:
        if message.startswith('Caught ') and 'UserError: ' in message:
            message = message.rsplit('UserError: ', 1)[1].strip()
        super().__init__(message)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 160 characters; its type if the message is empty."""
    # When torch refuses to load a file, it writes its advice on options first and the reason after it.
    reason = str(error).rpartition('WeightsUnpickler error: ')[2].strip()
    return reason.splitlines()[0][:160] if reason else type(error).__name__


def listed(items: Iterable[Any], number: int = 4) -> str:
    """List the first ``number`` items for a message, followed by ``...`` if there are more."""
    texts = [str(item) for item in items]
    return ', '.join([*texts[:number], '...'] if len(texts) > number else texts)


def exit_on_user_error(main: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the ``main`` of a tool to print a :class:`UserError` as one paragraph, without a traceback.

    The exit code is 1 after such an error and 130 after Ctrl-C.

    Args:
        main: The function to decorate.

    Returns:
        The decorated function.
    """

    @functools.wraps(main)
    def guarded(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except ValueError as error:
            if not isinstance(error, UserError) and not is_refused_setting(error):
                raise
            rank = os.environ.get('RANK', '0')
            who = 'error' if rank == '0' else f'error (rank {rank})'
            print(f'{who}: {error}', file=sys.stderr, flush=True)
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            print('Interrupted.', file=sys.stderr, flush=True)
            raise SystemExit(_INTERRUPTED) from None

    return guarded


def is_refused_setting(error: Exception) -> bool:
    """Whether a layer or backbone of this package refused a setting. Its message is complete; a traceback would not help."""
    if not isinstance(error, ValueError):
        return False
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = traceback.tb_frame.f_globals.get('__name__', '') if traceback else ''
    return module.startswith(('mm_frelu.activations.', 'mm_frelu.backbones.'))
