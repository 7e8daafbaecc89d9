"""Measure, wrap and shorten text before it is drawn."""

import os
from functools import lru_cache
from typing import List, Sequence, Tuple

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path


def text_points(text: str, font_size: float, weight: str = 'normal') -> float:
    """Returns the width of a line of text, in the current font families.

    Args:
        text: One line.
        font_size: In points.
        weight: ``'normal'`` or ``'bold'``.

    Returns:
        The width in points.
    """
    return _text_points(text, font_size, weight, tuple(rcParams['font.family']))


@lru_cache(maxsize=4096)
def _text_points(text: str, font_size: float, weight: str, families: Tuple[str, ...]) -> float:
    if not text.strip():
        return 0.0
    font = FontProperties(family=list(families), size=font_size, weight=weight)
    # A renderer aligns letters to pixels, which makes lines up to 2 % longer.
    return 1.02 * text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def shorten(text: str, width: float, font_size: float, weight: str = 'normal') -> str:
    """Cuts a text to a width in points. An ellipsis marks the cut."""
    if text_points(text, font_size, weight) <= width:
        return text
    # Bisect for the longest beginning that fits.
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if text_points(text[:middle] + '…', font_size, weight) <= width:
            fits = middle
        else:
            too_long = middle
    return text[:fits].rstrip() + '…'


def shorten_apart(
    names: Sequence[str], width: float, font_size: float, weight: str = 'normal'
) -> List[str]:
    """Cuts names to a width in points. Common parts are cut first, so that the names remain distinguishable.

    Args:
        names: Different names.
        width: In points.
        font_size: In points.
        weight: ``'normal'`` or ``'bold'``.

    Returns:
        A shortened name for each. They are different if about four letters fit into the width.
    """

    def fits(text: str) -> bool:
        return text_points(text, font_size, weight) <= width

    too_long = [name for name in names if not fits(name)]
    head = len(os.path.commonprefix(too_long)) if len(too_long) > 1 else 0
    tail = len(os.path.commonprefix([name[head:][::-1] for name in too_long])) if head else 0
    shown = []
    for number, name in enumerate(names, 1):
        if not fits(name):
            name = _around(name, head, len(name) - tail, fits) if len(too_long) > 1 else name
            name = shorten(name, width, font_size, weight)
        if name in shown:
            ending = f'… {number}'
            name = (
                shorten(
                    names[number - 1],
                    width - text_points(ending, font_size, weight),
                    font_size,
                    weight,
                )[:-1]
                + ending
            )
        shown.append(name)
    return shown


def _around(name: str, start: int, stop: int, fits) -> str:
    """Return the part of a name from ``start`` to ``stop``, extended as far as it fits, first to the right."""

    def text(first: int, last: int) -> str:
        return ('…' if first else '') + name[first:last] + ('…' if last < len(name) else '')

    while stop < len(name) and fits(text(start, stop + 1)):
        stop += 1
    while start > 0 and fits(text(start - 1, stop)):
        start -= 1
    return text(start, stop)


def wrap(text: str, width: float, font_size: float, weight: str = 'normal') -> List[str]:
    """Breaks a text at spaces into lines of at most ``width`` points. A longer word gets its own line."""
    lines: List[str] = []
    for word in text.split():
        if lines and text_points(f'{lines[-1]} {word}', font_size, weight) <= width:
            lines[-1] += f' {word}'
        else:
            lines.append(word)
    return lines
