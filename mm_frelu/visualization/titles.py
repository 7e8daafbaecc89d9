"""Panels with their text: a bold title above the picture, and a remark next to the title or below it."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes

from .layout import Sheet
from .text import shorten, shorten_apart, text_points, wrap

_BASELINE = 0.3  # of a line, from its lower edge
_GAP = 6.0  # points between title and remark


class Panel(NamedTuple):
    """One picture with its title.

    Attributes:
        name: Shown in bold over the picture.
        picture: RGB ``uint8`` array of the size of the grid's panels.
        ending: Continues the name, such as ``': errors'``. It is not cut if the title is too long.
        remarks: Shown to the right of the title, or below it if the two do not fit into one line: the same text in several lengths,
            the longest first. The first one that fits is used, or the last one if none fits.
        frame: A part of the picture to frame, in shares of its width and height (left, top, width, height), or None.
    """

    name: str
    picture: np.ndarray
    ending: str = ''
    remarks: Sequence[str] = ()
    frame: Optional[Tuple[float, float, float, float]] = None


class Heading(NamedTuple):
    """The text above one panel.

    Attributes:
        title: Lines of the title; empty in later rows of a column.
        remark: One line; may be empty.
        beside: Whether the remark is to the right of the title.
        sheet: The sheet, with a number of pixels per inch.
    """

    title: Tuple[str, ...]
    remark: str
    beside: bool
    sheet: Sheet

    @property
    def height(self) -> int:
        """Height in pixels."""
        own_line = bool(self.remark) and not (self.beside and self.title)
        return len(self.title) * self.sheet.line + own_line * self.sheet.small_line

    def draw(self, axes: Axes, width: int, height: int) -> None:
        """Draws above axes whose coordinates are pixels, y down.

        Args:
            axes: The axes.
            width: Their width.
            height: Height of the tallest heading in the row. All titles start there.
        """
        sheet = self.sheet
        style: Dict[str, Any] = dict(va='baseline', parse_math=False, clip_on=False)
        if self.remark:
            right = self.beside and self.title
            place: Dict[str, Any] = dict(x=0, ha='left')
            if right:
                place = dict(x=width, ha='right')
            y = -_BASELINE * (sheet.line if right else sheet.small_line)
            axes.text(
                y=y, s=self.remark, fontsize=sheet.remark_size, color='0.25', **place, **style
            )
        for number, line in enumerate(self.title):
            y = -height + (number + 1 - _BASELINE) * sheet.line
            axes.text(0, y, line, fontsize=sheet.font_size, weight='bold', **style)


def make_headings(
    panels: Sequence[Panel], width: int, sheet: Sheet, titled: bool = True
) -> List[Heading]:
    """Creates titles and remarks for panels of one width.

    Titles that are too long continue on a second line. If that is not enough, their common parts are cut.

    Args:
        panels: The panels.
        width: Width of the panels in pixels.
        sheet: The sheet, with a number of pixels per inch.
        titled: False for panels without titles, such as those of later rows of a table.

    Returns:
        A heading for each panel.
    """
    room = width / sheet.resolution * 72
    titles = [(panel.name, panel.ending) for panel in panels]
    lines = _title_lines(titles, room, sheet.font_size) if titled else [[]] * len(panels)

    def fits(title: Sequence[str], remark: str) -> bool:
        used = text_points(remark, sheet.remark_size)
        used += text_points(title[0], sheet.font_size, 'bold') + _GAP if title else 0
        return len(title) < 2 and used <= room

    pairs = [(title, panel.remarks[0]) for title, panel in zip(lines, panels) if panel.remarks]
    # Same position for all: different positions would look meaningful.
    beside = all(fits(*pair) for pair in pairs)
    headings = []
    for title, panel in zip(lines, panels):
        fitting = [text for text in panel.remarks if fits((), text)]
        remark = next(iter([*fitting, *panel.remarks[-1:]]), '')
        headings.append(Heading(tuple(title), remark, beside, sheet))
    return headings


def _title_lines(titles: Sequence[Tuple[str, str]], room: float, size: float) -> List[List[str]]:
    """Return one or two lines for each title."""
    whole = {}
    for name, ending in dict.fromkeys(titles):
        lines = wrap(name + ending, room, size, 'bold')
        if len(lines) <= 2 and all(text_points(line, size, 'bold') <= room for line in lines):
            whole[name, ending] = lines
    for ending in dict.fromkeys(ending for _, ending in titles):
        names = list(dict.fromkeys(name for name, own in titles if own == ending))
        if all((name, ending) in whole for name in names):
            continue
        rest = room - text_points(ending, size, 'bold')
        for name, short in zip(names, shorten_apart(names, rest, size, 'bold')):
            if (name, ending) not in whole:
                whole[name, ending] = [shorten(short + ending, room, size, 'bold')]
    return [whole[title] for title in titles]
