"""The legend: the classes in a picture, and the meaning of colours in error and difference maps."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from . import palette as colors
from .layout import Sheet
from .text import shorten, text_points, wrap


class Entry(NamedTuple):
    """One colour patch and its text.

    Attributes:
        text: The text.
        color: Colour of the patch; None for the hatching of unlabelled pixels.
        edge: Colour of its edge; None for grey.
    """

    text: str
    color: Optional[Tuple[int, int, int]]
    edge: Optional[Tuple[int, int, int]] = None


def class_entries(
    label_maps: Sequence[np.ndarray],
    classes: Sequence[str],
    palette: np.ndarray,
    ignore_index: int = 255,
) -> List[Entry]:
    """Creates entries for the classes that occur in any of the label maps, in the order of the dataset.

    Args:
        label_maps: Integer arrays of class ids; ``ignore_index`` is left out.
        classes: Names of the classes.
        palette: ``uint8`` array (num_classes, 3).
        ignore_index: The label that means "not labelled".

    Returns:
        One entry for each class that occurs.
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
        note: Text below the entries; may be empty.
        width: Width in pixels.
        sheet: The sheet that it is drawn on, with a number of pixels per inch.
    """

    def __init__(
        self, groups: Sequence[Sequence[Entry]], note: str, width: int, sheet: Sheet
    ) -> None:
        self.width, self.sheet = width, sheet
        self.size = sheet.legend_size
        self.swatch = (sheet.px(1.5 * self.size / 72), sheet.px(0.95 * self.size / 72))
        self.space = sheet.px(0.5 * self.size / 72)
        points = width / sheet.resolution * 72
        room = points - 2.1 * self.size
        self.groups = [
            [entry._replace(text=shorten(entry.text, room, self.size)) for entry in group]
            for group in groups
            if group
        ]
        self.note_lines = wrap(note, points, self.size)
        self._columns = [self._fit(group) for group in self.groups]

    def _fit(self, group: Sequence[Entry]) -> Tuple[int, int]:
        """Return number and width of the columns of a group."""
        widest = max(text_points(entry.text, self.size) for entry in group)
        gap = self.sheet.px(1.2 * self.size / 72)
        column = self.swatch[0] + self.space + self.sheet.px(widest / 72) + gap
        return max((self.width + gap) // column, 1), column

    @property
    def _group_gap(self) -> int:
        return self.sheet.px(0.4 * self.size / 72)

    @property
    def height(self) -> int:
        """Height in pixels."""
        rows = sum(
            -(-len(group) // columns) for group, (columns, _) in zip(self.groups, self._columns)
        )
        parts = len(self.groups) + bool(self.note_lines)
        lines = rows + len(self.note_lines)
        return lines * self.sheet.small_line + max(parts - 1, 0) * self._group_gap

    def draw(self, axes: Axes) -> None:
        """Draws into axes with pixel coordinates, y down from the upper edge of the legend.

        Args:
            axes: Axes of the size of the legend.
        """
        top, line = 0, self.sheet.small_line
        for group, (columns, width) in zip(self.groups, self._columns):
            for index, entry in enumerate(group):
                x = (index % columns) * width
                y = top + (index // columns + 0.5) * line
                self._draw_entry(axes, entry, x, y)
            top += -(-len(group) // columns) * line + self._group_gap
        for index, text in enumerate(self.note_lines):
            self._write(axes, 0, top + (index + 0.5) * line, text, color='0.35')

    def _draw_entry(self, axes: Axes, entry: Entry, x: float, y: float) -> None:
        hatched = entry.color is None
        edge = '0.4' if entry.edge is None else np.array(entry.edge) / 255
        axes.add_patch(
            Rectangle(
                (x + 0.5, y - self.swatch[1] / 2),
                *self.swatch,
                facecolor='white' if hatched else np.array(entry.color) / 255,
                edgecolor=np.array(colors.HATCH_DARK) / 255 if hatched else edge,
                hatch='//////' if hatched else None,
                linewidth=0.4 if entry.edge is None else 1.0,
            )
        )
        self._write(axes, x + self.swatch[0] + self.space, y, entry.text, color='black')

    def _write(self, axes: Axes, x: float, y: float, text: str, color: str) -> None:
        style: Dict[str, Any] = dict(va='center_baseline', ha='left', parse_math=False)
        axes.text(x, y, text, fontsize=self.size, color=color, **style)
