"""Titles and remarks above panels: a bold title, and a remark next to it or below."""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from matplotlib.axes import Axes

from .layout import Sheet
from .text import shorten, shorten_apart, text_points, wrap

_BASELINE = 0.3  # of a line, from its lower edge
_GAP = 6.0  # points between title and remark


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
    titles: Sequence[Tuple[str, str]], remarks: Sequence[Sequence[str]], width: int, sheet: Sheet
) -> List[Heading]:
    """Creates titles and remarks for panels of one width.

    Titles that are too long continue on a second line. If that is not enough, their common parts are cut.

    Args:
        titles: Name and ending of each title, such as ``('FReLU', ': errors')``. An empty name means no title.
        remarks: For each panel the remark in several lengths, the longest first. The first one that fits is used, or the last one
            if none fits.
        width: Width of the panels in pixels.
        sheet: The sheet, with a number of pixels per inch.

    Returns:
        A heading for each panel.
    """
    room = width / sheet.resolution * 72
    lines = _title_lines(titles, room, sheet.font_size)

    def fits(title: Sequence[str], remark: str) -> bool:
        used = text_points(remark, sheet.remark_size)
        used += text_points(title[0], sheet.font_size, 'bold') + _GAP if title else 0
        return len(title) < 2 and used <= room

    pairs = [(title, remark[0]) for title, remark in zip(lines, remarks) if remark]
    # Same position for all: different positions would look meaningful.
    beside = all(fits(*pair) for pair in pairs)
    headings = []
    for title, lengths in zip(lines, remarks):
        fitting = [text for text in lengths if fits((), text)]
        remark = '' if not lengths else (fitting or lengths[-1:])[0]
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
        names = [
            name for name in dict.fromkeys(name for name, own in titles if own == ending) if name
        ]
        if all((name, ending) in whole for name in names):
            continue
        rest = room - text_points(ending, size, 'bold')
        for name, short in zip(names, shorten_apart(names, rest, size, 'bold')):
            if (name, ending) not in whole:
                whole[name, ending] = [shorten(short + ending, room, size, 'bold')]
    return [whole.get(title, []) if title[0] else [] for title in titles]
