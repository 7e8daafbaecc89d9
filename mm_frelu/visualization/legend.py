"""The legend: the classes that the picture shows, and what the colours of the error and difference maps mean."""

from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from . import palette as colors
from .layout import DPI, LINE_HEIGHT

FONT_SIZE = 7.5
_SWATCH = (round(0.17 * DPI), round(0.1 * DPI))
_SPACE = round(0.06 * DPI)
_GROUP_GAP = round(0.05 * DPI)
_COLUMN_GAP = round(0.16 * DPI)
_MAX_LETTERS = 30


class Entry(NamedTuple):
    """One swatch and its text; ``color=None`` is the hatch of pixels without a label."""

    text: str
    color: Optional[Tuple[int, int, int]]


def text_width(text: str, font_size: float = FONT_SIZE, weight: str = 'normal') -> float:
    """Width of a text in pixels of the figure.

    Args:
        text: One line.
        font_size: In points.
        weight: ``'normal'`` or ``'bold'``.

    Returns:
        Width in pixels at the figure's resolution.
    """
    return _text_width(text, font_size, weight, tuple(rcParams['font.family']))


@lru_cache(maxsize=1024)
def _text_width(text: str, font_size: float, weight: str, families: Tuple[str, ...]) -> float:
    if not text.strip():
        return 0.0
    prop = {'family': list(families), 'weight': weight}
    path = TextPath((0, 0), text.replace('$', r'\$'), size=font_size, prop=prop)
    return path.get_extents().width * DPI / 72


def shorten(text: str, width: float, font_size: float = FONT_SIZE, weight: str = 'normal') -> str:
    """Cuts a text to a width in pixels and ends it with an ellipsis when something was cut."""
    if text_width(text, font_size, weight) <= width:
        return text
    # The longest beginning that fits, by bisection.
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if text_width(text[:middle] + '…', font_size, weight) <= width:
            fits = middle
        else:
            too_long = middle
    return text[:fits].rstrip() + '…'


def class_entries(
    label_maps: Sequence[np.ndarray],
    classes: Sequence[str],
    palette: np.ndarray,
    ignore_index: int = 255,
) -> List[Entry]:
    """Entries for the classes that occur in any of the label maps, in the order of the dataset.

    Args:
        label_maps: Integer arrays of class numbers; ``ignore_index`` is left out.
        classes: Names of the classes.
        palette: ``uint8`` array (num_classes, 3).
        ignore_index: The label that stands for "not labelled".

    Returns:
        One entry for each class present.
    """
    present = sorted(set().union(*(np.unique(labels).tolist() for labels in label_maps)))
    return [
        Entry(classes[index].strip(), tuple(palette[index].tolist()))
        for index in present
        if index != ignore_index
    ]


class Legend:
    """Groups of entries in rows, for a given width; each group starts a new row.

    Args:
        groups: Groups of entries. Empty groups are left out.
        note: A line under the entries, or an empty text.
        width: Width in pixels.
    """

    def __init__(self, groups: Sequence[Sequence[Entry]], note: str, width: int) -> None:
        self.width = width
        self.groups = [
            [Entry(_at_most(entry.text), entry.color) for entry in group]
            for group in groups
            if group
        ]
        self.note_lines = _wrap(note, width)
        texts = [entry.text for group in self.groups for entry in group]
        widest = max((text_width(text) for text in texts), default=0)
        self.column_width = round(_SWATCH[0] + _SPACE + widest + _COLUMN_GAP)
        self.columns = max((width + _COLUMN_GAP) // self.column_width, 1)

    @property
    def height(self) -> int:
        """Height in pixels."""
        rows = sum(-(-len(group) // self.columns) for group in self.groups)
        parts = len(self.groups) + bool(self.note_lines)
        return (rows + len(self.note_lines)) * LINE_HEIGHT + max(parts - 1, 0) * _GROUP_GAP

    def draw(self, axes: Axes) -> None:
        """Draws into axes whose coordinates are pixels, with y down from the upper edge of the legend.

        Args:
            axes: Axes of the size of the legend.
        """
        top = 0
        for group in self.groups:
            for index, entry in enumerate(group):
                x = (index % self.columns) * self.column_width
                y = top + (index // self.columns + 0.5) * LINE_HEIGHT
                self._draw_entry(axes, entry, x, y)
            top += -(-len(group) // self.columns) * LINE_HEIGHT + _GROUP_GAP
        for index, line in enumerate(self.note_lines):
            _write(axes, 0, top + (index + 0.5) * LINE_HEIGHT, line, color='0.35')

    @staticmethod
    def _draw_entry(axes: Axes, entry: Entry, x: float, y: float) -> None:
        hatched = entry.color is None
        dark = np.array(colors.HATCH_DARK) / 255
        axes.add_patch(
            Rectangle(
                (x + 0.5, y - _SWATCH[1] / 2),
                *_SWATCH,
                facecolor='white' if hatched else np.array(entry.color) / 255,
                edgecolor=dark if hatched else '0.4',
                hatch='//////' if hatched else None,
                linewidth=0.4,
            )
        )
        _write(axes, x + _SWATCH[0] + _SPACE, y, entry.text, color='black')


def _write(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    axes.text(
        x,
        y,
        text,
        fontsize=FONT_SIZE,
        color=color,
        va='center_baseline',
        ha='left',
        parse_math=False,
    )


def _at_most(text: str) -> str:
    return text if len(text) <= _MAX_LETTERS else text[: _MAX_LETTERS - 1].rstrip() + '…'


def _wrap(text: str, width: int) -> List[str]:
    """Breaks a text into lines of at most ``width`` pixels."""
    lines: List[str] = []
    for word in text.split():
        if lines and text_width(f'{lines[-1]} {word}') <= width:
            lines[-1] += f' {word}'
        else:
            lines.append(word)
    return lines
