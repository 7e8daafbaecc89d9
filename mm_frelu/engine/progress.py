"""Progress bar with the remaining time, for tools that process images."""

from typing import Iterable, Iterator, Optional, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar('T')


def progress(
    verb: str, items: Iterable[T], console: Optional[Console] = None, total: Optional[int] = None
) -> Iterator[T]:
    """Iterate over items and show a progress bar.

    Args:
        verb: What is done with the items, such as "Drawing".
        items: The items.
        console: Where the bar is printed; standard output if None.
        total: The number of items, if ``items`` has no length.

    Yields:
        The items.
    """
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        yield from bar.track(items, total=total, description='')
