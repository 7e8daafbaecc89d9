"""Common parts of the figures of activations: size, fonts and axes."""

from contextlib import contextmanager
from typing import Any, Iterable, Iterator, List, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .fonts import families_for

WIDTH = 7.2
"""Inches; the text width of most papers."""
DPI = 200
LABEL, TITLE = 6.5, 7.5
MAP_COLORS = 'viridis'
NOTHING = '0.75'
"""Colour of pixels that have no value."""


@contextmanager
def style(texts: Iterable[str] = ()) -> Iterator[None]:
    """Sets fonts that have the characters of some texts, and thin lines."""
    families, _ = families_for(texts)
    with rc_context(
        {
            'font.family': families,
            'font.size': LABEL,
            'axes.titlesize': TITLE,
            'axes.labelsize': LABEL,
            'xtick.labelsize': LABEL - 0.5,
            'ytick.labelsize': LABEL - 0.5,
            'axes.linewidth': 0.5,
            'xtick.major.width': 0.5,
            'ytick.major.width': 0.5,
            'xtick.major.size': 2.5,
            'ytick.major.size': 2.5,
            'text.parse_math': False,
        }
    ):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Creates a white figure without a window, with constrained layout."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor='white', layout='constrained')
    layout: Any = figure.get_layout_engine()  # the constrained one
    layout.set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    FigureCanvasAgg(figure)
    return figure


def show_picture(axes: Axes, picture: np.ndarray) -> None:
    """Draws an RGB image with pixel coordinates and no ticks."""
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(0, width, height, 0), interpolation='nearest')
    axes.set_xticks([])
    axes.set_yticks([])


def show_map(
    axes: Axes,
    values: np.ndarray,
    fed: Sequence[int],
    seen: Sequence[int],
    **settings,
):
    """Draws a feature map in the coordinates of the picture, without the padding.

    Args:
        axes: The axes to draw on.
        values: Feature map of shape (H, W), including the padding.
        fed: Height and width of the network's input.
        seen: Height and width of the picture without the padding.
        **settings: Arguments of ``imshow``.

    Returns:
        The result of ``imshow``.
    """
    image = axes.imshow(
        values, extent=(0, fed[1], fed[0], 0), interpolation='nearest', aspect='equal', **settings
    )
    axes.set_xlim(0, seen[1])
    axes.set_ylim(seen[0], 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor(NOTHING)
    return image


def two_line_title(axes: Axes, title: str, remark: str) -> None:
    """Draws a bold title with a line of remarks below it."""
    axes.set_title(title, loc='left', fontsize=TITLE, fontweight='bold', pad=LABEL + 5)
    axes.annotate(
        remark,
        (0, 1),
        (0, 3),
        xycoords='axes fraction',
        textcoords='offset points',
        fontsize=LABEL - 0.5,
        va='bottom',
        color='0.3',
    )


def columns_for(number: int, aspect: float) -> int:
    """Chooses the number of columns for panels of one aspect ratio on a page: few empty cells, large panels."""
    most = 2 if aspect > 4 else 3  # remarks need space
    if number <= most:
        return number
    return min(range(2, most + 1), key=lambda columns: (-number % columns, -columns))


def depth_axis(axes: Axes, names: Sequence[str], stages: Sequence[str]) -> None:
    """Labels the x axis with layers from low to high, with a line between stages. If there are many, only some are labelled."""
    every = 1 + (len(names) - 1) // 48
    axes.set_xticks(range(0, len(names), every))
    axes.set_xticklabels(names[::every], rotation=90, fontsize=LABEL - 1.5)
    axes.set_xlim(-0.6, len(names) - 0.4)
    for index in range(1, len(names)):
        if stages[index] != stages[index - 1]:
            axes.axvline(index - 0.5, color='0.8', linewidth=0.6, zorder=0)


def shortened(names: Sequence[str], longest: int = 40) -> List[str]:
    """Cuts the beginning of names that are too long."""
    return [name if len(name) <= longest else '…' + name[1 - longest :] for name in names]


def title_for(name: str, columns: int) -> str:
    """Shortens a name to fit above a panel, in a figure with this number of columns."""
    room = 0.88 * WIDTH * 72 / columns
    return shortened([name], int(room / (0.72 * TITLE)))[0]
