"""A bar with the time that is left, for tools that go through images."""

from typing import Iterable, Iterator, Optional, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar('T')


def progress(
    verb: str, items: Iterable[T], console: Optional[Console] = None, total: Optional[int] = None
) -> Iterator[T]:
    """Go through items behind a bar.

    Args:
        verb: What is done with them, such as "Drawing".
        items: The items.
        console: Where the bar goes; to standard output if None.
        total: Their number, where ``items`` has no length.

    Yields:
        The items.
    """
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        yield from bar.track(items, total=total, description='')
