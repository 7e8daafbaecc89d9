"""Show which backend computes a layer: in its repr, and in the log, once for each different choice."""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Iterator, Optional

from mmengine.logging import print_log
from torch import nn

from ..ops import Choice
from ..ops.context import is_compiling

_recording: ContextVar[bool] = ContextVar('recording', default=True)


@contextmanager
def recording_disabled() -> Iterator[None]:
    """Do not record the backend. For inspection runs, whose hooks change the backend for the duration of the run."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


class ShowsImplementation(nn.Module):
    """A layer that several backends can compute.

    Attributes:
        implementation: The value in the config.
        live: Backend of the last call and why it was chosen. None before the first call; a compiled graph does not set it.
    """

    implementation: str
    live: Optional[Choice] = None

    def show(self, choice: Choice) -> None:
        """Record the backend of this call. Not in a compiled graph, which would add a guard on the attribute."""
        if is_compiling() or choice == self.live or not _recording.get():
            return
        self.live = choice
        _log_once(f'{type(self).__name__} is computed by {choice.name} ({choice.reason}).')

    def implementation_repr(self) -> str:
        """Return the value in the config and the backend of the last call."""
        live = '' if self.live is None else f', live={self.live.name} ({self.live.reason})'
        return f"implementation='{self.implementation}'{live}"


@cache
def _log_once(message: str) -> None:
    print_log(message, logger='current')
