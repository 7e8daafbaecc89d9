"""Putting panels, overview and legend on a white Matplotlib figure, pixel by pixel."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from . import layout, overlay
from . import palette as colors
from .crop import Box
from .legend import Entry, Legend, shorten, text_width

_TITLE_SIZE = 8
_OVERVIEW_TITLE = 'Whole image'
# The overview fills at most these shares of the figure's width, in width and in height.
_OVERVIEW_SHARES = (0.26, 0.18)


class Panel(NamedTuple):
    """One picture with its title.

    Attributes:
        title: Shown in bold over the picture.
        remark: Shown at the right of the title, or below it where the two do not fit into one line.
        picture: RGB ``uint8`` array of the size of the grid's panels.
    """

    title: str
    remark: str
    picture: np.ndarray


def compose(
    grid: layout.Grid,
    units: List[List[Panel]],
    groups: List[List[Entry]],
    note: str,
    overview: Optional[Tuple[np.ndarray, Box]] = None,
) -> Figure:
    """Puts panels, overview and legend on a figure.

    Args:
        grid: Where the panels go.
        units: The panels of each unit of the grid.
        groups: Entries of the legend; each group starts a new row.
        note: A line under the legend, or an empty text.
        overview: The whole image, and the box of it that the panels show.

    Returns:
        A figure of :data:`~mm_frelu.visualization.layout.DPI` dots per inch. The label of each of its axes is the title of the
        panel, ``'overview'`` or ``'legend'``.
    """
    title_lines = _title_lines(grid, units)
    places = _Places(grid, title_lines, len(units), overview[0].shape[1::-1] if overview else None)
    legend, legend_place, height = places.for_legend(groups, note)
    size = (grid.width / layout.DPI, height / layout.DPI)
    figure = Figure(figsize=size, dpi=layout.DPI, facecolor='white')
    FigureCanvasAgg(figure)
    for index, unit in enumerate(units):
        for part, panel in enumerate(unit):
            row, column = grid.cell(index, part)
            place = (grid.left(column), grid.top(row, title_lines))
            _add_panel(figure, panel, place, title_lines[row])
    if overview:
        _add_overview(figure, *overview, places.overview_size, places.overview)
    axes = _add_axes(figure, legend_place, (legend.width, max(legend.height, 1)))
    axes.set_label('legend')
    axes.set_axis_off()
    legend.draw(axes)
    return figure


class _Places:
    """Where overview and legend go: into the grid's empty place if it has one, else into a band below it.

    The overview comes first; a legend goes into the empty place only when there is no overview and it fits.
    """

    def __init__(
        self,
        grid: layout.Grid,
        title_lines: Sequence[int],
        num_units: int,
        image_size: Optional[Tuple[int, int]],
    ) -> None:
        self.grid = grid
        self.bottom = grid.bottom(title_lines)
        self.band = self.bottom + 2 * layout.GAP
        self.hole = None
        hole = grid.hole(num_units)
        if hole:
            row, column, rows = hole
            top = grid.top(row, title_lines)
            size = (grid.width - layout.MARGIN - grid.left(column), grid.panel[1])
            if rows == 2:
                size = (size[0], self.bottom - top)
            self.hole = (grid.left(column), top), size
        self.overview, self.overview_size, self.in_hole = None, None, False
        if image_size is not None:
            self._place_overview(image_size)

    def _place_overview(self, image_size: Tuple[int, int]) -> None:
        """The place of the overview's picture; its title stands above."""
        if self.hole:
            (left, top), (width, height) = self.hole
            limits = (min(width, self.grid.panel[0]), min(height, self.grid.panel[1]))
            self.overview, self.in_hole = (left, top), True
        else:
            limits = tuple(share * self.grid.width for share in _OVERVIEW_SHARES)
            self.overview = (layout.MARGIN, self.band + layout.LINE_HEIGHT)
        scale = min(limits[0] / image_size[0], limits[1] / image_size[1])
        self.overview_size = tuple(max(round(side * scale), 8) for side in image_size)

    def for_legend(
        self, groups: List[List[Entry]], note: str
    ) -> Tuple[Legend, Tuple[int, int], int]:
        """The legend, its place and the height of the figure that this makes."""
        if self.hole and not self.in_hole:
            (left, top), (width, height) = self.hole
            legend = Legend(groups, note, width - layout.MARGIN)
            if legend.height <= height:
                return legend, (left + layout.MARGIN, top), self.bottom + layout.MARGIN
        left, height = layout.MARGIN, 0
        if self.overview and not self.in_hole:
            title = round(text_width(_OVERVIEW_TITLE, _TITLE_SIZE - 1))
            left += max(self.overview_size[0], title) + 2 * layout.MARGIN
            height = layout.LINE_HEIGHT + self.overview_size[1]
        legend = Legend(groups, note, self.grid.width - layout.MARGIN - left)
        height = max(height, legend.height)
        return legend, (left, self.band), self.band + height + layout.MARGIN


def _title_lines(grid: layout.Grid, units: List[List[Panel]]) -> List[int]:
    """Lines above each row: two in rows with remarks, in a figure where one of them does not fit beside its title."""
    lines = [1] * grid.rows
    panels = [panel for unit in units for panel in unit if panel.remark]
    if all(_fits(panel, grid) for panel in panels):
        return lines
    for index, unit in enumerate(units):
        for part, panel in enumerate(unit):
            if panel.remark:
                lines[grid.cell(index, part)[0]] = 2
    return lines


def _fits(panel: Panel, grid: layout.Grid) -> bool:
    """Whether title and remark of a panel go into one line."""
    title = text_width(panel.title, _TITLE_SIZE, 'bold')
    remark = text_width(panel.remark, _TITLE_SIZE - 1)
    return title + layout.GAP + remark <= grid.panel[0]


def _add_panel(figure: Figure, panel: Panel, place: Tuple[int, int], title_lines: int) -> None:
    width, height = panel.picture.shape[1::-1]
    axes = _add_axes(figure, place, (width, height))
    axes.set_label(panel.title)
    _show(axes, panel.picture)
    room = width
    if panel.remark and title_lines == 1:
        room -= text_width(panel.remark, _TITLE_SIZE - 1) + layout.GAP
    style = dict(va='baseline', parse_math=False, clip_on=False)
    base = -0.3 * layout.LINE_HEIGHT
    axes.text(
        0,
        base - layout.LINE_HEIGHT if panel.remark and title_lines == 2 else base,
        shorten(panel.title, room, _TITLE_SIZE, 'bold'),
        fontsize=_TITLE_SIZE,
        weight='bold',
        **style,
    )
    if panel.remark:
        align = dict(x=width, ha='right') if title_lines == 1 else dict(x=0, ha='left')
        remark = panel.remark
        if text_width(remark, _TITLE_SIZE - 1) > width:
            # A number that is cut would be another number: leave out the second one instead.
            remark = remark.split('  ')[0]
        axes.text(y=base, s=remark, fontsize=_TITLE_SIZE - 1, color='0.25', **align, **style)


def _add_overview(
    figure: Figure, image: np.ndarray, box: Box, size: Tuple[int, int], place: Tuple[int, int]
) -> None:
    """The whole image, small, with a thin frame around the crop."""
    axes = _add_axes(figure, place, size)
    axes.set_label('overview')
    _show(axes, overlay.shrink(overlay.enlarge_image(image, size), size))
    axes.text(
        0, -0.3 * layout.LINE_HEIGHT, _OVERVIEW_TITLE, fontsize=_TITLE_SIZE - 1, va='baseline'
    )
    x_scale, y_scale = size[0] / image.shape[1], size[1] / image.shape[0]
    corner = (box.x * x_scale, box.y * y_scale)
    frame = (box.width * x_scale, box.height * y_scale)
    # White below the colour, so that the frame stands out from any scene.
    for color, line in (('white', 2.0), (np.array(colors.FRAME) / 255, 1.0)):
        axes.add_patch(Rectangle(corner, *frame, fill=False, edgecolor=color, linewidth=line))


def _add_axes(figure: Figure, place: Tuple[int, int], size: Tuple[int, int]) -> Axes:
    """Axes whose coordinates are pixels, y down, at a place counted from the top left of the figure."""
    figure_width, figure_height = (figure.get_size_inches() * layout.DPI).round()
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


def _show(axes: Axes, picture: np.ndarray) -> None:
    """Fills axes with a picture of their size, pixel by pixel, in a hairline frame."""
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(0, width, height, 0), interpolation='nearest', aspect='auto')
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(linewidth=0.4, color='0.5')
