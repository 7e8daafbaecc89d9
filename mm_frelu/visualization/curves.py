"""Draw training curves: one colour for each group of runs, with the mean as a line and the spread as a band."""

from typing import Dict, List, NamedTuple, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mm_frelu.analysis.training_logs import Curve

from .fonts import drawable, families_for, tell_lacking

# Okabe and Ito, "Color Universal Design", 2008.
_COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000')
BANDS = ('std', 'range', 'none')


class Spread(NamedTuple):
    """Mean and spread of several runs, at the steps that they have in common."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def spread_of(curves: Sequence[Curve], band: str) -> Spread:
    """Computes mean and spread of runs that differ in their seed.

    Args:
        curves: The same key of each run.
        band: ``'std'`` for plus and minus one standard deviation (of the sample), ``'range'`` for the smallest and the largest
            value, ``'none'`` for no spread.
    """
    by_step = [dict(zip(curve.steps, curve.values)) for curve in curves]
    steps = sorted(set.intersection(*map(set, by_step)))
    values = np.array([[found[step] for step in steps] for found in by_step])
    mean = values.mean(axis=0)
    if band == 'range':
        return Spread(np.array(steps), mean, values.min(axis=0), values.max(axis=0))
    deviation = np.zeros_like(mean)
    if band == 'std' and len(curves) > 1:
        deviation = values.std(axis=0, ddof=1)
    return Spread(np.array(steps), mean, mean - deviation, mean + deviation)


def draw_curves(
    groups: Dict[str, Dict[str, List[Curve]]],
    keys: Sequence[str],
    band: str,
    title: str = '',
    style: str = 'default',
) -> Figure:
    """Draws one panel for each key.

    Args:
        groups: Curves of the runs, by name of the group, then by key. A group may lack a key.
        keys: The keys.
        band: See :func:`spread_of`.
        title: Title of the figure; may be empty.
        style: A Matplotlib style.

    Returns:
        A figure without a window.
    """
    from matplotlib import style as styles

    names = list(groups)
    families, absent = families_for([*names, title])
    if absent:
        tell_lacking(absent)
        names = drawable(names, 'run', absent)
    with styles.context(style), rc_context({'font.family': families}):
        columns = min(len(keys), 2)
        rows = -(-len(keys) // columns)
        figure = Figure(figsize=(4.8 * columns, 3.2 * rows + 0.4), dpi=160)
        FigureCanvasAgg(figure)
        figure.set_layout_engine('constrained')
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(keys) :]:
            axes.set_axis_off()
        for axes, key in zip(panels, keys):
            for number, (name, curves) in enumerate(zip(names, groups.values())):
                if key in curves:
                    _draw(axes, curves[key], name, _COLORS[number % len(_COLORS)], band)
            axes.set_title(key, fontsize=10)
            axes.tick_params(labelsize=8)
            axes.grid(alpha=0.3, linewidth=0.6)
            for side in ('top', 'right'):
                axes.spines[side].set_visible(False)
            if len(names) > 1 or len(keys) == 1:
                axes.legend(fontsize=8, frameon=False)
        if title:
            figure.suptitle(title, fontsize=11, weight='bold')
    return figure


def _draw(axes: Axes, curves: List[Curve], name: str, color: str, band: str) -> None:
    spread = spread_of(curves, band)
    few = len(spread.steps) <= 12
    label = name if len(curves) == 1 else f'{name} (mean of {len(curves)})'
    axes.plot(
        spread.steps,
        spread.mean,
        color=color,
        linewidth=1.4,
        marker='o' if few else None,
        markersize=3.5,
        label=label,
    )
    if len(curves) > 1 and band != 'none':
        if len(spread.steps) == 1:  # a band would have no width
            errors = [spread.mean - spread.low, spread.high - spread.mean]
            axes.errorbar(spread.steps, spread.mean, errors, color=color, capsize=3, linewidth=1)
        axes.fill_between(
            spread.steps, spread.low, spread.high, color=color, alpha=0.18, linewidth=0
        )
    axes.set_xlabel(curves[0].unit, fontsize=8)
