"""Showing which backend computes a layer: in its repr, and once per kind of case in the log."""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Iterator, Optional

from mmengine.logging import print_log
from torch import nn

from ..ops import Choice
from ..ops.context import is_compiling

_noticed: ContextVar[bool] = ContextVar('noticed', default=True)


@contextmanager
def unnoticed() -> Iterator[None]:
    """For runs that only look at a model: their hooks change what computes a layer, which is no news to anybody."""
    token = _noticed.set(False)
    try:
        yield
    finally:
        _noticed.reset(token)


class ShowsImplementation(nn.Module):
    """A layer that several backends can compute.

    Attributes:
        implementation: The word of the config.
        live: What computed the last call and why; None before the first, and for calls inside a compiled graph.
    """

    implementation: str
    live: Optional[Choice] = None

    def show(self, choice: Choice) -> None:
        """Take note of what computes this call. A compiled graph is left alone: it would guard on the note."""
        if is_compiling() or choice == self.live or not _noticed.get():
            return
        self.live = choice
        _log_once(f'{type(self).__name__} is computed by {choice.name} ({choice.reason}).')

    def implementation_repr(self) -> str:
        """Config word, and what was live in the last call."""
        live = '' if self.live is None else f', live={self.live.name} ({self.live.reason})'
        return f"implementation='{self.implementation}'{live}"


@cache
def _log_once(message: str) -> None:
    print_log(message, logger='current')
