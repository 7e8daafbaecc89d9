"""Draw a confusion matrix. Rows are true classes, in per cent of each row."""

from typing import List, Optional, Sequence, Tuple

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .fonts import drawable, families_for, tell_lacking

_CELL = 0.34  # inches
_DPI = 160
_LARGEST = 40  # inches; the cells of a matrix with hundreds of classes are smaller


def draw_confusion_matrix(
    counts: np.ndarray,
    names: Sequence[str],
    title: str,
    color_theme: str,
    blank: Optional[int] = None,
) -> Figure:
    """Draws a confusion matrix.

    Args:
        counts: Counts by true class (row) and predicted class (column), (N, N).
        names: Names of the classes.
        title: Title of the figure.
        color_theme: Name of a colour map of Matplotlib.
        blank: Index of a class whose diagonal cell has no meaning, such as the background in detection; it has no number.

    Returns:
        A figure without a window.
    """
    families, absent = families_for([*names, title])
    if absent:
        tell_lacking(absent)
        names = drawable(names, 'class', absent)
    number = len(names)
    percent = in_percent(counts)
    side = min(_CELL * number, _LARGEST - 2)
    cell = side / number * 72  # points
    font = min(7.0, cell * 0.3)
    with rc_context({'font.family': families}):
        figure = Figure(figsize=(side + 2.4, side + 2.0), dpi=_DPI, facecolor='white')
        FigureCanvasAgg(figure)
        figure.set_layout_engine('constrained')
        axes = figure.add_subplot()
        picture = axes.imshow(percent, cmap=color_theme, vmin=0, vmax=100)
        bar = figure.colorbar(picture, ax=axes, shrink=0.7, pad=0.02)
        bar.set_label('% of the true class', fontsize=8)
        bar.ax.tick_params(labelsize=7)
        axes.set_title(title, fontsize=10, weight='bold')
        size = min(8.0, cell * 0.5)
        axes.set_xticks(
            range(number),
            labels=names,
            rotation=45,
            ha='left',
            rotation_mode='anchor',
            fontsize=size,
        )
        axes.set_yticks(range(number), labels=names, fontsize=size)
        axes.tick_params(length=0, bottom=False, labelbottom=False, labeltop=True)
        axes.set_xlabel('predicted', fontsize=9)
        axes.set_ylabel('true', fontsize=9)
        axes.set_xticks(np.arange(0.5, number - 1), minor=True)
        axes.set_yticks(np.arange(0.5, number - 1), minor=True)
        axes.grid(which='minor', color='white', linewidth=0.6)
        axes.tick_params(which='minor', length=0)
        colors = colormaps[color_theme]
        for row, column in zip(*np.nonzero(np.isfinite(percent) & (percent >= 0.05))):
            if row == column == blank:
                continue
            value = percent[row, column]
            red, green, blue, _ = colors(value / 100)
            dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5
            text = f'{value:.1f}' if value < 99.95 else '100'
            axes.text(
                column,
                row,
                text,
                ha='center',
                va='center',
                fontsize=font,
                color='white' if dark else 'black',
            )
    return figure


def in_percent(counts: np.ndarray) -> np.ndarray:
    """Returns each row in per cent of its sum; NaN for rows whose sum is zero."""
    sums = counts.sum(axis=1, keepdims=True)
    return np.divide(100.0 * counts, sums, out=np.full(counts.shape, np.nan), where=sums > 0)


def largest_confusions(counts: np.ndarray, number: int) -> List[Tuple[int, int, float]]:
    """Returns the largest off-diagonal entries: true class, predicted class, per cent of the true class."""
    percent = np.nan_to_num(in_percent(counts))
    np.fill_diagonal(percent, 0)
    order = np.argsort(-percent, axis=None, kind='stable')[:number]
    pairs = zip(*np.unravel_index(order, percent.shape))
    return [(int(i), int(j), float(percent[i, j])) for i, j in pairs if percent[i, j] > 0]
