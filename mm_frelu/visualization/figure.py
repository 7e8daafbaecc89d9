"""Draw panels, overview and legend on a white Matplotlib figure, without resampling pixels."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from . import overlay
from . import palette as colors
from .crop import Box
from .layout import Grid, Sheet
from .legend import Entry, Legend
from .text import text_points
from .titles import Heading, Panel, make_headings

_OVERVIEW_TITLE = 'Whole image'
# Maximum width and height of the overview, as shares of the figure's width.
_OVERVIEW_SHARES = (0.26, 0.18)


class Placed(NamedTuple):
    """A panel, the position of its upper left corner in pixels, the text above it and the height reserved for that text."""

    panel: Panel
    place: Tuple[int, int]
    heading: Heading
    height: int


def draw_figure(
    sheet: Sheet,
    size: Tuple[int, int],
    placed: Sequence[Placed],
    legend: Optional[Tuple[Legend, Tuple[int, int]]],
) -> Figure:
    """Draws panels and a legend.

    Args:
        sheet: The sheet, with a number of pixels per inch.
        size: Width and height of the figure in pixels.
        placed: The panels and their positions.
        legend: The legend and its position, or None.

    Returns:
        A figure of ``sheet.dpi`` dots per inch. Each of its axes has the panel's name and ending or ``'legend'`` as label.
    """
    inches = (size[0] / sheet.resolution, size[1] / sheet.resolution)
    figure = Figure(figsize=inches, dpi=sheet.resolution, facecolor='white')
    FigureCanvasAgg(figure)
    for panel, place, heading, height in placed:
        axes = add_axes(figure, place, panel.picture.shape[1::-1])
        axes.set_label(panel.name + panel.ending)
        show(axes, panel.picture)
        heading.draw(axes, panel.picture.shape[1], height)
        if panel.frame:
            across, down = panel.picture.shape[1::-1]
            x, y, share_across, share_down = panel.frame
            frame = (share_across * across, share_down * down)
            _add_frame(axes, (x * across, y * down), frame)
    if legend:
        axes = add_axes(figure, legend[1], (legend[0].width, max(legend[0].height, 1)))
        axes.set_label('legend')
        axes.set_axis_off()
        legend[0].draw(axes)
    return figure


def compose(
    grid: Grid,
    panels: Sequence[Panel],
    groups: List[List[Entry]],
    note: str,
    overview: Optional[Tuple[np.ndarray, Box]] = None,
) -> Figure:
    """Arranges panels, overview and legend on a figure.

    Args:
        grid: Positions of the panels.
        panels: The panels, unit by unit of the grid.
        groups: Entries of the legend; each group starts a new row.
        note: Text below the legend; may be empty.
        overview: The whole image, and the box of it that the panels show.

    Returns:
        Same as :func:`draw_figure`. The axes of the overview have the label ``'overview'``.
    """
    sheet = grid.sheet
    headings = make_headings(panels, grid.panel[0], sheet)
    parts = 2 if grid.paired else 1
    cells = [grid.cell(*divmod(index, parts)) for index in range(len(panels))]
    heights = [0] * grid.rows
    for (row, _), heading in zip(cells, headings):
        heights[row] = max(heights[row], heading.height)
    places = _Places(
        grid, heights, len(panels) // parts, overview[0].shape[1::-1] if overview else None
    )
    legend: Optional[Tuple[Legend, Tuple[int, int]]] = None
    height = places.bottom + sheet.margin
    if sheet.legend:
        entries, corner, height = places.for_legend(groups, note)
        legend = (entries, corner)
    elif places.overview and places.overview_size:
        height = max(height, places.overview[1] + places.overview_size[1] + sheet.margin)
    placed = [
        Placed(panel, (grid.left(column), grid.top(row, heights)), heading, heights[row])
        for panel, heading, (row, column) in zip(panels, headings, cells)
    ]
    figure = draw_figure(sheet, (grid.width, height), placed, legend)
    if overview and places.overview and places.overview_size:
        _add_overview(figure, sheet, *overview, places.overview_size, places.overview)
    return figure


class _Places:
    """Positions of overview and legend: in the empty cell of the grid if there is one, otherwise below the grid.

    The overview takes the empty cell first. The legend goes there only if there is no overview and it fits.
    """

    def __init__(
        self,
        grid: Grid,
        heights: Sequence[int],
        num_units: int,
        image_size: Optional[Tuple[int, int]],
    ) -> None:
        self.grid, self.sheet = grid, grid.sheet
        self.bottom = grid.bottom(heights)
        self.band = self.bottom + 2 * self.sheet.gap
        self.hole = None
        hole = grid.hole(num_units)
        if hole:
            row, column, rows = hole
            top = grid.top(row, heights)
            size = (grid.width - self.sheet.margin - grid.left(column), grid.panel[1])
            if rows == 2:
                size = (size[0], self.bottom - top)
            self.hole = (grid.left(column), top), size
        self.overview: Optional[Tuple[int, int]] = None
        self.overview_size: Optional[Tuple[int, int]] = None
        self.in_hole = False
        if image_size is not None:
            self._place_overview(image_size)

    def _place_overview(self, image_size: Tuple[int, int]) -> None:
        """Set position and size of the overview's picture; its title is above."""
        limits: Tuple[float, ...]
        if self.hole:
            (left, top), (width, height) = self.hole
            limits = (min(width, self.grid.panel[0]), min(height, self.grid.panel[1]))
            self.overview, self.in_hole = (left, top), True
        else:
            limits = tuple(share * self.grid.width for share in _OVERVIEW_SHARES)
            self.overview = (self.sheet.margin, self.band + self.sheet.line)
        scale = min(limits[0] / image_size[0], limits[1] / image_size[1])
        width, height = (max(round(side * scale), 8) for side in image_size)
        self.overview_size = (width, height)

    def for_legend(
        self, groups: List[List[Entry]], note: str
    ) -> Tuple[Legend, Tuple[int, int], int]:
        """Return the legend, its position and the resulting height of the figure."""
        sheet = self.sheet
        if self.hole and not self.in_hole:
            (left, top), (width, height) = self.hole
            legend = Legend(groups, note, width - sheet.gap, sheet)
            if legend.height <= height:
                return legend, (left + sheet.gap, top), self.bottom + sheet.margin
        left, height = sheet.margin, 0
        if self.overview_size and not self.in_hole:
            title = sheet.px(text_points(_OVERVIEW_TITLE, sheet.remark_size) / 72)
            left += max(self.overview_size[0], title) + 2 * sheet.gap
            height = sheet.line + self.overview_size[1]
        legend = Legend(groups, note, self.grid.width - sheet.margin - left, sheet)
        height = max(height, legend.height)
        return legend, (left, self.band), self.band + height + sheet.margin


def _add_overview(
    figure: Figure,
    sheet: Sheet,
    image: np.ndarray,
    box: Box,
    size: Tuple[int, int],
    place: Tuple[int, int],
) -> None:
    """Draw the whole image at a small size, with a thin frame around the crop."""
    axes = add_axes(figure, place, size)
    axes.set_label('overview')
    show(axes, overlay.fit_image(image, size))
    style: Dict[str, Any] = dict(fontsize=sheet.remark_size, va='baseline')
    axes.text(0, -0.3 * sheet.line, _OVERVIEW_TITLE, **style)
    x_scale, y_scale = size[0] / image.shape[1], size[1] / image.shape[0]
    corner = (box.x * x_scale, box.y * y_scale)
    _add_frame(axes, corner, (box.width * x_scale, box.height * y_scale))


def _add_frame(axes: Axes, corner: Tuple[float, float], size: Tuple[float, float]) -> None:
    # A white line below the coloured one makes the frame visible on any image.
    for color, line in (('white', 2.0), (np.array(colors.FRAME) / 255, 1.0)):
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=color, linewidth=line))


def add_axes(figure: Figure, place: Tuple[int, int], size: Tuple[int, int]) -> Axes:
    """Adds axes with pixel coordinates, y down. ``place`` is measured from the top left of the figure."""
    figure_width, figure_height = (figure.get_size_inches() * figure.dpi).round()
    axes = figure.add_axes(
        (
            place[0] / figure_width,
            1 - (place[1] + size[1]) / figure_height,
            size[0] / figure_width,
            size[1] / figure_height,
        )
    )
    axes.set_xlim(0, size[0])
    axes.set_ylim(size[1], 0)
    return axes


def show(axes: Axes, picture: np.ndarray) -> None:
    """Fills axes with a picture of the same size, without resampling, in a thin frame."""
    height, width = picture.shape[:2]
    # 'none' keeps the pixels unchanged in vector formats.
    axes.imshow(picture, extent=(0, width, height, 0), interpolation='none', aspect='auto')
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(linewidth=0.4, color='0.5')
