"""What the figures of activations share: size, fonts, axes, writing."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Sequence, Union

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mm_frelu.engine.write_file import write_file

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
    """Fonts for some texts in any script, and thin lines."""
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
    """A white figure that belongs to no window and sets out its axes by itself."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor='white', layout='constrained')
    layout: Any = figure.get_layout_engine()  # the constrained one
    layout.set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Union[str, Path]) -> Path:
    """Write a figure as PNG, whole or not at all; missing folders are made."""
    with write_file(path, 'wb') as stream:
        figure.savefig(stream, format='png', dpi=DPI)
    return Path(path)


def show_picture(axes: Axes, picture: np.ndarray) -> None:
    """An RGB image, with pixels as coordinates and no ticks."""
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
    """A map of features, where they lie in the picture.

    Args:
        axes: Where.
        values: Of shape (H, W), with the positions of the padding.
        fed: Height and width of the network's input.
        seen: Height and width of the picture without the padding.
        **settings: Of ``imshow``.

    Returns:
        What ``imshow`` returns.
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
    """A bold title with a line of remarks below it."""
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
    """Columns for some panels of one shape (width / height) in a figure as wide as a page: few empty places, large panels."""
    most = 2 if aspect > 4 else 3  # remarks need their room
    if number <= most:
        return number
    return min(range(2, most + 1), key=lambda columns: (-number % columns, -columns))


def depth_axis(axes: Axes, names: Sequence[str], stages: Sequence[str]) -> None:
    """Layers in a row from low to high, with a line between stages; with very many, only some are named."""
    every = 1 + (len(names) - 1) // 48
    axes.set_xticks(range(0, len(names), every))
    axes.set_xticklabels(names[::every], rotation=90, fontsize=LABEL - 1.5)
    axes.set_xlim(-0.6, len(names) - 0.4)
    for index in range(1, len(names)):
        if stages[index] != stages[index - 1]:
            axes.axvline(index - 0.5, color='0.8', linewidth=0.6, zorder=0)


def shortened(names: Sequence[str], longest: int = 40) -> List[str]:
    """Names of which the beginning is left out where they are too long."""
    return [name if len(name) <= longest else '…' + name[1 - longest :] for name in names]


def title_for(name: str, columns: int) -> str:
    """A name that fits over a panel, where so many are beside each other."""
    room = 0.88 * WIDTH * 72 / columns
    return shortened([name], int(room / (0.72 * TITLE)))[0]
