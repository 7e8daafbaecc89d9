"""Plots of a comparison, in which every seed is a point and the mean is a line.

There are no bars from zero, which would hide the spread, and no error bars, because three seeds do not determine a distribution.
"""

from pathlib import Path
from typing import Dict, List, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mm_frelu.engine.write_file import write_file

from .scores import Scores, estimate

_BASELINE, _OTHER = '#8a8a8a', '#0b6e99'
_TIME, _MEMORY = '#c8553d', '#588157'
_GRID = '#e3e3e3'
_ROW, _MARGIN = 0.34, 1.05
"""Height of a row and of the rest of the figure, in inches."""


def plot_scores(
    path: Path, scores: Scores, metric: str, costs: Dict[str, dict], caption: str
) -> None:
    """Draw scores and, if it was measured, the cost of a training step.

    Args:
        path: PNG file, which is written completely or not at all.
        scores: Scores by row and seed; the first row is the baseline.
        metric: Name of the score.
        costs: ``times_baseline``, ``quartiles`` and ``kept`` by row, or empty.
        caption: A line below the title.
    """
    names = list(scores)
    figure, axes = _figure(len(names), 2 if costs else 1)
    _draw_scores(axes[0], scores, f'{metric}, %')
    if costs:
        _draw_costs(axes[1], names, costs)
    _finish(figure, path, caption)


def plot_starts_and_ends(
    path: Path, starts: Scores, ends: Scores, metric: str, caption: str
) -> None:
    """Draw scores before the first step and after fine-tuning on one scale.

    Args:
        path: PNG file, which is written completely or not at all.
        starts: Scores before the first step, by row and seed.
        ends: Scores after the last one.
        metric: Name of the score.
        caption: A line below the title.
    """
    figure, axes = _figure(len(ends), 2)
    _draw_scores(axes[0], starts, f'{metric} at the start, %')
    _draw_scores(axes[1], ends, f'{metric} at the end, %')
    _finish(figure, path, caption)


def _figure(rows: int, panels: int) -> tuple:
    figure = Figure(figsize=(4.6 * panels, _MARGIN + _ROW * rows), dpi=160, facecolor='white')
    FigureCanvasAgg(figure)
    figure.set_layout_engine('constrained')
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    return figure, axes


def _draw_scores(axes: Axes, scores: Scores, label: str) -> None:
    _rows(axes, list(scores))
    baseline = estimate(list(next(iter(scores.values())).values())).mean
    axes.axvline(baseline, color=_BASELINE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for row, values in enumerate(scores.values()):
        color = _BASELINE if row == 0 else _OTHER
        points = list(values.values())
        mean = estimate(points).mean
        axes.plot(points, [row] * len(points), 'o', color=color, alpha=0.55, markersize=5, mew=0)
        axes.plot([mean] * 2, [row - 0.3, row + 0.3], color=color, linewidth=2.2)
        axes.annotate(
            f'{mean:.1f}',
            (max(points), row),
            xytext=(7, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
            color=color,
            # The number may lie on the line of the baseline.
            bbox=dict(facecolor='white', edgecolor='none', pad=0.8),
        )
    axes.set_xlabel(label, fontsize=9)
    axes.margins(x=0.14)


def _draw_costs(axes: Axes, names: Sequence[str], costs: Dict[str, dict]) -> None:
    _rows(axes, list(names))
    axes.axvline(1, color=_BASELINE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    kept = costs[names[0]]['kept']
    rows: List[int] = list(range(len(names)))
    times = [costs[name]['times_baseline'] for name in names]
    memory = [costs[name]['kept'] / kept for name in names]
    for row, name in enumerate(names):
        axes.plot(costs[name]['quartiles'], [row - 0.13] * 2, color=_TIME, linewidth=1.2, alpha=0.6)
    axes.plot(
        times,
        [row - 0.13 for row in rows],
        'o',
        color=_TIME,
        markersize=5.5,
        mew=0,
        label='time of a training step (line: quartiles)',
    )
    axes.plot(
        memory,
        [row + 0.13 for row in rows],
        'D',
        color=_MEMORY,
        markersize=4.5,
        mew=0,
        label='memory kept for backward',
    )
    axes.set_xlabel(f'times {names[0]}', fontsize=9)
    axes.set_xlim(left=min(0.9, *times, *memory) - 0.05)
    axes.legend(
        loc='lower center',
        bbox_to_anchor=(0.5, 1.0),
        ncols=2,
        fontsize=7.5,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.2,
    )


def _rows(axes: Axes, names: List[str]) -> None:
    """Set up one row per name, the first one at the top, each with a thin line."""
    axes.set_yticks(range(len(names)), labels=names, fontsize=9)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis='both', length=0, labelsize=8.5)
    axes.grid(axis='y', color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    axes.spines['bottom'].set_color('#9a9a9a')


def _finish(figure: Figure, path: Path, caption: str) -> None:
    figure.supxlabel(caption, fontsize=7.5, color='#555555')
    with write_file(path, 'wb') as stream:
        figure.savefig(stream, format='png')
