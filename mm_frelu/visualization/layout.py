"""Measures of a figure, and positions of its panels in whole pixels, so that no panel is resampled.

Panels are grouped in units. With ground truth, a unit is a pair: image and ground truth, or a prediction and its errors. In a grid of two
columns, a pair is a row. With three or more columns, the panels of a pair are above one another. In both cases, predictions are aligned
with predictions and errors with errors. Without pairs, a unit is one panel.
"""

import math
from typing import NamedTuple, Optional, Sequence, Tuple

from mm_frelu.engine.errors import UserError

DEFAULT_WIDTH = 7.2
"""Default width of a figure in inches."""

_MARGIN, _GAP = 0.04, 0.06  # inches
_LEAST_DPI = 200
_LARGEST_PANEL = 2048
_LARGEST_SIDE = 60_000  # Matplotlib supports at most 2 ** 16 pixels per side.
_MAX_GRID_HEIGHT = 7.2
_MIN_PANEL_WIDTH = 0.6
_LEAST_PANEL_SIDE = 8  # pixels
_MOST_PANEL_PIXELS = 2**26


class Sheet(NamedTuple):
    """Measures of a figure.

    Attributes:
        width: Width in inches. If ``panel_width`` is set, the width follows from it.
        panel_width: Width of a panel in inches, or None.
        columns: Number of columns, or None to make the panels as large as possible.
        dpi: Pixels per inch. None for at least 200, and enough that no panel has fewer pixels than its image, up to 2048.
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
        """Size of the text next to titles, in points."""
        return self.font_size - 1

    @property
    def legend_size(self) -> float:
        """Size of the text of the legend, in points."""
        return self.font_size - 0.5

    @property
    def resolution(self) -> float:
        """``dpi`` as a number, for a sheet from :meth:`with_dpi`."""
        assert self.dpi is not None
        return self.dpi

    def px(self, inches: float) -> int:
        """Converts a length to pixels."""
        return round(inches * self.resolution)

    @property
    def margin(self) -> int:
        """Empty margin of the figure, in pixels."""
        return self.px(_MARGIN)

    @property
    def gap(self) -> int:
        """Distance between panels, in pixels."""
        return self.px(_GAP)

    @property
    def line(self) -> int:
        """Height of a line of text, in pixels."""
        return self.px(1.5 * self.font_size / 72)

    @property
    def small_line(self) -> int:
        """Height of a line of the legend and of remarks, in pixels."""
        return self.px(1.45 * self.legend_size / 72)

    def panel_inches(self, columns: int) -> float:
        """Returns the width of a panel, for this number of columns."""
        if self.panel_width:
            return self.panel_width
        return max((self.width - 2 * _MARGIN - (columns - 1) * _GAP) / columns, 0.02)

    def with_dpi(self, panel_inches: float, shown: Sequence[Tuple[int, int]]) -> 'Sheet':
        """Returns this sheet with ``dpi`` set, if it is None.

        Args:
            panel_inches: Width of the panels.
            shown: Width and height, in pixels, of the images in the panels.

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
        """Returns row and column of a panel.

        Args:
            unit: Index of the unit.
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
        """Returns the empty cells at the end of the grid, if the last units do not fill it.

        Args:
            num_units: Number of units in the grid.

        Returns:
            First row, first column and number of rows of the empty area, which extends to the right edge; None if the grid is full.
        """
        per_row = 1 if self.paired and self.columns == 2 else self.columns
        if num_units % per_row == 0:
            return None
        row, column = self.cell(num_units - 1)
        return row, column + 1, 2 if self.paired else 1

    def left(self, column: int) -> int:
        """Returns the left edge of a column, in pixels from the left of the figure."""
        return self.sheet.margin + column * (self.panel[0] + self.sheet.gap)

    def top(self, row: int, title_heights: Sequence[int]) -> int:
        """Returns the upper edge of the panels of a row, in pixels from the top of the figure.

        Args:
            row: Index of the row.
            title_heights: Height of the text above the panels, for each row.

        Returns:
            The edge.
        """
        above = row * (self.panel[1] + self.sheet.gap) + sum(title_heights[: row + 1])
        return self.sheet.margin + above

    def bottom(self, title_heights: Sequence[int]) -> int:
        """Returns the lower edge of the last row, in pixels from the top of the figure."""
        return self.top(self.rows - 1, title_heights) + self.panel[1]


def choose_grid(num_units: int, size: Tuple[int, int], paired: bool, sheet: Sheet) -> Grid:
    """Chooses the grid with the largest panels that fits on a page and has few empty cells.

    Args:
        num_units: Number of pairs or single panels.
        size: Width and height of the images in the panels, in pixels.
        paired: Whether a unit is a pair of panels.
        sheet: The sheet. If its number of columns is set, it is used, and the panels fill the sheet's width.

    Returns:
        The grid.

    Raises:
        UserError: If a panel has too many pixels.
    """
    aspect = size[0] / size[1]
    columns = sheet.columns or _best_columns(num_units, aspect, paired, sheet)
    rows = _rows(num_units, columns, paired)
    width = sheet.panel_inches(columns)
    if not (sheet.columns or sheet.panel_width):
        # For very wide or tall images: keep the short side visible, and some space for titles.
        width = max(min(width, _height_of_row(rows, sheet) * aspect), _MIN_PANEL_WIDTH)
    sheet = sheet.with_dpi(width, [size])
    panel_width = max(sheet.px(width), _LEAST_PANEL_SIDE)
    panel = (panel_width, max(round(panel_width / aspect), _LEAST_PANEL_SIDE))
    require_paintable(panel)
    return Grid(columns, rows, panel, paired, sheet)


def require_paintable(panel: Tuple[int, int]) -> None:
    """Raises :class:`UserError` if a panel of this width and height, in pixels, would need gigabytes to be painted."""
    if panel[0] * panel[1] > _MOST_PANEL_PIXELS:
        raise UserError(
            f'A panel of the figure would have {panel[0]}x{panel[1]} pixels; the most is {_MOST_PANEL_PIXELS / 1e6:.0f} million. '
            'Choose a smaller --dpi, --width or --panel-width.'
        )


def _best_columns(num_units: int, aspect: float, paired: bool, sheet: Sheet) -> int:
    if sheet.panel_width:
        fit = int((sheet.width - 2 * _MARGIN + _GAP) / (sheet.panel_width + _GAP) + 1e-9)
        return min(max(fit, 1), 2 if paired and fit == 2 else num_units)
    # One column only for panoramas, because two columns would make them narrow strips.
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
    return max(_MAX_GRID_HEIGHT / rows - _GAP - 1.5 * sheet.font_size / 72, 0.05)
