"""The sheet that a figure is drawn on, and which panel goes where, in whole pixels, so that no panel is resampled.

The panels come in units. With ground truth a unit is a pair: image and ground truth, or a prediction and its errors. Pairs lie in
rows when two columns do, and stand in columns, one over the other, when there are three or more. Either way predictions line
up with predictions and errors with errors. Without pairs a unit is one panel.
"""

import math
from typing import NamedTuple, Optional, Sequence, Tuple

DEFAULT_WIDTH = 7.2
"""Width of a figure in inches, unless told."""

_LEAST_DPI = 200
_LARGEST_PANEL = 2048
_LARGEST_SIDE = 60_000  # Matplotlib draws at most 2 ** 16 pixels a side.
_MAX_GRID_HEIGHT = 7.2
_MIN_PANEL_WIDTH = 0.6
_LEAST_PANEL_SIDE = 8  # pixels


class Sheet(NamedTuple):
    """Measures of a figure.

    Attributes:
        width: Width in inches; with ``panel_width`` it follows from that.
        panel_width: Width of a panel in inches, or None.
        columns: Number of columns, or None for those that make the panels largest.
        dpi: Pixels per inch; None for at least 200 and as many as make no panel smaller than what it shows, up to 2048 pixels.
        font_size: Size of titles in points; other text is a little smaller.
        legend: Whether there is a legend.
        scores: Whether scores are shown.
    """

    width: float = DEFAULT_WIDTH
    panel_width: Optional[float] = None
    columns: Optional[int] = None
    dpi: Optional[float] = None
    font_size: float = 8.0
    legend: bool = True
    scores: bool = True

    @property
    def remark_size(self) -> float:
        """Size of the text beside titles, in points."""
        return self.font_size - 1

    @property
    def legend_size(self) -> float:
        """Size of the text of the legend, in points."""
        return self.font_size - 0.5

    @property
    def resolution(self) -> float:
        """``dpi`` of a sheet from :meth:`with_dpi`, which is a number."""
        assert self.dpi is not None
        return self.dpi

    def px(self, inches: float) -> int:
        """Pixels of a length."""
        return round(inches * self.resolution)

    @property
    def margin(self) -> int:
        """Empty edge around everything, in pixels; so are the following."""
        return self.px(0.04)

    @property
    def gap(self) -> int:
        """Between panels."""
        return self.px(0.06)

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return self.px(1.5 * self.font_size / 72)

    @property
    def small_line(self) -> int:
        """Height of a line of the legend and of remarks."""
        return self.px(1.45 * self.legend_size / 72)

    def panel_inches(self, columns: int) -> float:
        """Width of a panel when so many stand side by side."""
        if self.panel_width:
            return self.panel_width
        return max((self.width - 2 * 0.04 - (columns - 1) * 0.06) / columns, 0.02)

    def with_dpi(self, panel_inches: float, shown: Sequence[Tuple[int, int]]) -> 'Sheet':
        """This sheet with a number of pixels per inch, if it has none.

        Args:
            panel_inches: Width of the panels.
            shown: Width and height, in pixels, of what the panels show.

        Returns:
            A sheet whose ``dpi`` is a number.
        """
        if self.dpi:
            return self
        wanted = [size[0] * min(_LARGEST_PANEL / max(size), 1) for size in shown]
        dpi = max(max(wanted) / panel_inches, _LEAST_DPI)
        return self._replace(dpi=min(dpi, _LARGEST_SIDE / max(self.width, panel_inches)))


class Grid(NamedTuple):
    """Rows and columns of equal panels.

    Attributes:
        columns: Number of columns.
        rows: Number of rows.
        panel: Width and height of a panel, in pixels.
        paired: Whether a unit is a pair of panels.
        sheet: The sheet, with a number of pixels per inch.
    """

    columns: int
    rows: int
    panel: Tuple[int, int]
    paired: bool
    sheet: Sheet

    @property
    def width(self) -> int:
        """Width of the figure in pixels."""
        across = self.columns * self.panel[0] + (self.columns - 1) * self.sheet.gap
        return 2 * self.sheet.margin + across

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
        return self.sheet.margin + column * (self.panel[0] + self.sheet.gap)

    def top(self, row: int, title_heights: Sequence[int]) -> int:
        """Upper edge of the panels of a row, in pixels from the top of the figure.

        Args:
            row: Number of the row.
            title_heights: Height of the text above the panels, for each row.

        Returns:
            The edge.
        """
        above = row * (self.panel[1] + self.sheet.gap) + sum(title_heights[: row + 1])
        return self.sheet.margin + above

    def bottom(self, title_heights: Sequence[int]) -> int:
        """Lower edge of the last row, in pixels from the top of the figure."""
        return self.top(self.rows - 1, title_heights) + self.panel[1]


def choose_grid(num_units: int, size: Tuple[int, int], paired: bool, sheet: Sheet) -> Grid:
    """Chooses the grid with the largest panels that fits on a page and leaves little of it empty.

    Args:
        num_units: Number of pairs or single panels.
        size: Width and height of what the panels show, in pixels.
        paired: Whether a unit is a pair of panels.
        sheet: The sheet. Its number of columns, if it has one, is taken; then the panels fill its width.

    Returns:
        The grid.
    """
    aspect = size[0] / size[1]
    columns = sheet.columns or _best_columns(num_units, aspect, paired, sheet)
    rows = _rows(num_units, columns, paired)
    width = sheet.panel_inches(columns)
    if not (sheet.columns or sheet.panel_width):
        # Very long or high images: the short side of a panel stays visible, and titles keep some room.
        width = max(min(width, _height_of_row(rows, sheet) * aspect), _MIN_PANEL_WIDTH)
    sheet = sheet.with_dpi(width, [size])
    panel_width = max(sheet.px(width), _LEAST_PANEL_SIDE)
    panel = (panel_width, max(round(panel_width / aspect), _LEAST_PANEL_SIDE))
    return Grid(columns, rows, panel, paired, sheet)


def _best_columns(num_units: int, aspect: float, paired: bool, sheet: Sheet) -> int:
    if sheet.panel_width:
        fit = int((sheet.width - 2 * 0.04 + 0.06) / (sheet.panel_width + 0.06) + 1e-9)
        return min(max(fit, 1), 2 if paired and fit == 2 else num_units)
    # One column only for panoramas; there, two side by side would be strips.
    fewest = 1 if aspect > 3 and not paired else min(num_units + paired, 2)

    def score(columns: int) -> float:
        rows = _rows(num_units, columns, paired)
        width = min(sheet.panel_inches(columns), _height_of_row(rows, sheet) * aspect)
        filled = num_units * (2 if paired else 1) / (columns * rows)
        return width * width / aspect * filled

    return max(range(fewest, max(num_units, 2) + 1), key=score)


def _rows(num_units: int, columns: int, paired: bool) -> int:
    if not paired:
        return math.ceil(num_units / columns)
    return num_units if columns == 2 else 2 * math.ceil(num_units / columns)


def _height_of_row(rows: int, sheet: Sheet) -> float:
    return max(_MAX_GRID_HEIGHT / rows - 0.06 - 1.5 * sheet.font_size / 72, 0.05)
