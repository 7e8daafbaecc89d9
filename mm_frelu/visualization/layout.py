"""Which panel goes where, in whole pixels, so that no panel is resampled when the figure is drawn.

The panels come in units. With ground truth a unit is a pair: image and ground truth, or a prediction and its errors. Pairs lie in
rows when two columns do, and stand in columns, one over the other, when there are three or more. Either way predictions line
up with predictions and errors with errors. Without ground truth a unit is one panel.
"""

import math
from typing import NamedTuple, Optional, Sequence, Tuple

DPI = 200

_FIGURE_WIDTH = round(7.2 * DPI)
_MAX_GRID_HEIGHT = round(7.2 * DPI)
_MIN_PANEL_WIDTH = round(0.6 * DPI)
MARGIN = round(0.1 * DPI)
GAP = round(0.08 * DPI)
LINE_HEIGHT = round(0.17 * DPI)


class Grid(NamedTuple):
    """Rows and columns of equal panels.

    Attributes:
        columns: Number of columns.
        rows: Number of rows.
        panel: Width and height of a panel, in pixels.
        paired: Whether a unit is a pair of panels.
    """

    columns: int
    rows: int
    panel: Tuple[int, int]
    paired: bool

    @property
    def width(self) -> int:
        """Width of the figure in pixels."""
        return 2 * MARGIN + self.columns * self.panel[0] + (self.columns - 1) * GAP

    def cell(self, unit: int, part: int = 0) -> Tuple[int, int]:
        """Row and column of a panel.

        Args:
            unit: Number of the unit.
            part: 0 for the first panel of a pair (image, prediction), 1 for the second (ground truth, errors).

        Returns:
            Row and column, counted from the top left.
        """
        if not self.paired:
            return unit // self.columns, unit % self.columns
        if self.columns == 2:
            return unit, part
        return 2 * (unit // self.columns) + part, unit % self.columns

    def hole(self, num_units: int) -> Optional[Tuple[int, int, int]]:
        """The empty place at the end of the grid, where the last units do not fill it.

        Args:
            num_units: Number of units in the grid.

        Returns:
            First row, first column and number of rows of the place, which reaches to the right end; None if the grid is full.
        """
        per_row = 1 if self.paired and self.columns == 2 else self.columns
        if num_units % per_row == 0:
            return None
        row, column = self.cell(num_units - 1)
        return row, column + 1, 2 if self.paired else 1

    def left(self, column: int) -> int:
        """Left edge of a column, in pixels from the left of the figure."""
        return MARGIN + column * (self.panel[0] + GAP)

    def top(self, row: int, title_lines: Sequence[int]) -> int:
        """Upper edge of the panels of a row, in pixels from the top of the figure.

        Args:
            row: Number of the row.
            title_lines: Lines of text above the panels, for each row.

        Returns:
            The edge.
        """
        return MARGIN + row * (self.panel[1] + GAP) + sum(title_lines[: row + 1]) * LINE_HEIGHT

    def bottom(self, title_lines: Sequence[int]) -> int:
        """Lower edge of the last row, in pixels from the top of the figure."""
        return self.top(self.rows - 1, title_lines) + self.panel[1]


def choose_grid(num_units: int, size: Tuple[int, int], paired: bool) -> Grid:
    """Chooses the grid with the largest panels that fits on a page and leaves little of it empty.

    Args:
        num_units: Number of pairs or single panels.
        size: Width and height of what the panels show, in pixels. Only the proportions matter.
        paired: Whether a unit is a pair of panels.

    Returns:
        The grid.
    """
    aspect = size[0] / size[1]
    best, best_score = None, -1.0
    # One column only for panoramas; there, two side by side would be strips.
    fewest = 1 if aspect > 3 and not paired else min(num_units + paired, 2)
    for columns in range(fewest, max(num_units, 2) + 1):
        if paired:
            rows = num_units if columns == 2 else 2 * math.ceil(num_units / columns)
        else:
            rows = math.ceil(num_units / columns)
        width = (_FIGURE_WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns
        height = _MAX_GRID_HEIGHT / rows - GAP - LINE_HEIGHT
        width = max(min(width, height * aspect), 1)
        filled = num_units * (2 if paired else 1) / (columns * rows)
        score = width * width / aspect * filled
        if score > best_score:
            # Very long or high images: the short side of a panel stays visible, and titles keep some room.
            width = max(round(width), _MIN_PANEL_WIDTH)
            best = Grid(columns, rows, (width, max(round(width / aspect), 8)), paired)
            best_score = score
    return best
