"""Figures of funnel activations: activate fields (FReLU paper, Figure 3), choices by depth, and learned windows."""

import math
from typing import Dict, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mm_frelu.inspection.choices import ChannelCounts
from mm_frelu.inspection.field import Field
from mm_frelu.inspection.layers import evenly, short, stage_of

from .charts import (
    LABEL,
    MAP_COLORS,
    WIDTH,
    columns_for,
    depth_axis,
    new_figure,
    shortened,
    show_map,
    show_picture,
    style,
    title_for,
    two_line_title,
)
from .loaded_model import Prepared

MAX_WINDOW_ROWS, MAX_WINDOW_COLUMNS = 12, 14


class FieldPanel(NamedTuple):
    """A layer in the figure of an image.

    Attributes:
        field: The activate field of its values, including the padding.
        histogram: Share of the layer's value by side of the field, without the padding.
        share: Share of the values that chose the window; None for a layer without a choice.
    """

    field: Field
    histogram: Dict[int, float]
    share: Optional[float]


def draw_fields(name: str, prepared: Prepared, panels: Dict[str, FieldPanel]) -> Figure:
    """Draws the image and, for each layer, a map of the mean side and how the layer's value is divided among the sides.

    Args:
        name: Name of the image.
        prepared: The image.
        panels: Panels by layer.
    """
    seen, fed = prepared.picture.shape[:2], tuple(prepared.tensor.shape[-2:])
    last = _last_side([panel.histogram for panel in panels.values()])
    columns = columns_for(len(panels) + 1, seen[1] / seen[0])
    rows = math.ceil((len(panels) + 1) / columns)
    map_height = WIDTH / columns * min(seen[0] / seen[1], 3) * 0.9
    with style([name]):
        figure = new_figure(rows * (map_height + 1.15))
        axes = figure.subplots(
            2 * rows, columns, squeeze=False, height_ratios=[map_height, 0.6] * rows
        )
        upper, lower = axes[::2].flatten(), axes[1::2].flatten()
        show_picture(upper[0], prepared.picture)
        two_line_title(upper[0], title_for(name, columns), f'{seen[1]} x {seen[0]} as fed')
        lower[0].text(
            0.0, 1.0, 'Maps: mean side of the field at each pixel\nBars: how the value of the layer is divided\n'
            'among the sides, in pixels of the layer', va='top', color='0.3', linespacing=1.4,
        )  # fmt: skip
        for index, (layer, panel) in enumerate(panels.items(), start=1):
            values = panel.field.mean_sides
            norm = Normalize(*np.nanquantile(prepared.inside(values).numpy(), (0.005, 0.995)))
            image = show_map(upper[index], values.numpy(), fed, seen, cmap=MAP_COLORS, norm=norm)
            # The colour bar is as high as the map, whose height follows from its width.
            place = upper[index].inset_axes((1.015, 0, 0.022, 1))
            bar = figure.colorbar(image, cax=place)
            bar.outline.set_linewidth(0.4)
            bar.locator = MaxNLocator(nbins=max(min(round(8 * map_height), 5), 1))
            bar.update_ticks()
            mean = sum(side * share for side, share in panel.histogram.items())
            largest = max((side for side, share in panel.histogram.items() if share), default=1)
            remark = f'mean side {mean:.1f}, largest {largest}'
            if panel.share is not None:
                remark += f'; window {100 * panel.share:.0f} %'
            two_line_title(upper[index], title_for(short(layer), columns), remark)
            _draw_histogram(lower[index], panel.histogram, last, index == 1 or not index % columns)
        for number in range(len(panels) + 1, len(upper)):
            upper[number].set_axis_off()
            lower[number].set_axis_off()
        lower[0].set_axis_off()
    return figure


def _last_side(histograms: Sequence[Dict[int, float]]) -> int:
    """Return the side below which 99.8 % of every layer's value is."""
    last = 3
    for histogram in histograms:
        total = 0.0
        for side, share in histogram.items():
            total += share
            last = max(last, side)
            if total > 0.998:
                break
    return last


def _draw_histogram(axes: Axes, histogram: Dict[int, float], last: int, labelled: bool) -> None:
    sides = [side for side in histogram if side <= last]
    shares = [100 * histogram[side] for side in sides]
    step = min(np.diff(sorted({1, *sides, 3})))
    axes.bar(sides, shares, width=0.8 * step, color='tab:blue', linewidth=0)
    axes.set_xlim(1 - step, last + step)
    axes.set_ylim(0, 105)
    axes.set_yticks([0, 50, 100])
    ticks = list(range(1, last + 1, max(2 * round(last / 16), 2)))
    axes.set_xticks(ticks)
    axes.set_xlabel('side of the field', labelpad=1)
    if labelled:
        axes.set_ylabel('% of value', labelpad=1)
    for edge in ('top', 'right'):
        axes.spines[edge].set_visible(False)


def draw_choices(
    counts: Dict[str, ChannelCounts], histograms: Dict[str, Dict[int, float]], images: int
) -> Figure:
    """Draws the share of pixels that choose the window, per layer and channel, by depth; and the fields of all layers.

    Args:
        counts: Counts by layer, from low to high.
        histograms: Share of each layer's value by side, for the same layers.
        images: Number of counted images.
    """
    names = list(counts)
    stages = [stage_of(name) for name in names]
    with style():
        figure = new_figure(4.6)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.15, 1])
        generator = np.random.default_rng(0)  # for the horizontal positions of the dots
        always = never = 0
        for index, name in enumerate(names):
            shares = 100 * counts[name].shares.numpy()
            places = index + generator.uniform(-0.22, 0.22, len(shares))
            extreme = np.zeros(len(shares), dtype=bool)
            extreme[[*counts[name].always, *counts[name].never]] = True
            always += len(counts[name].always)
            never += len(counts[name].never)
            upper.scatter(
                places[~extreme], shares[~extreme], s=3, color='tab:blue', alpha=0.45, lw=0
            )
            upper.scatter(
                places[extreme], shares[extreme], s=9, marker='x', color='tab:red', lw=0.7
            )
        means = [100 * counts[name].share for name in names]
        upper.plot(means, color='black', linewidth=1, marker='o', markersize=2.5)
        channels = sum(len(count.chosen) for count in counts.values())
        upper.set_title(
            f'Pixels that choose the window: channels (dots) and layers (line), {images} image{"s" * (images > 1)}',
            loc='left',
        )
        upper.set_ylabel('% of pixels')
        upper.set_ylim(-4, 116)
        upper.set_yticks(range(0, 101, 25))
        upper.text(
            0.995,
            0.985,
            f'x: {always} of {channels} channels always choose it, {never} never',
            transform=upper.transAxes,
            ha='right',
            va='top',
            color='tab:red',
            bbox=dict(facecolor='white', edgecolor='none', pad=1),
        )
        sides = sorted({side for histogram in histograms.values() for side in histogram})
        last = _last_side(list(histograms.values()))
        sides = [side for side in sides if side <= last]
        table = np.array(
            [[100 * histograms[name].get(side, 0) for name in names] for side in sides]
        )
        image = lower.imshow(
            table,
            cmap='magma_r',
            norm=PowerNorm(0.5, vmin=0, vmax=100),
            aspect='auto',
            origin='lower',
            interpolation='nearest',
        )
        middle = [
            np.interp(
                sum(s * share for s, share in histograms[name].items()), sides, range(len(sides))
            )
            for name in names
        ]
        lower.plot(middle, color='tab:cyan', linewidth=1, marker='o', markersize=2.5)
        every = 1 + (len(sides) - 1) // 12
        lower.set_yticks(range(0, len(sides), every), sides[::every])
        lower.set_ylabel('side of the field')
        lower.set_title(
            'Fields: how the value of a layer is divided among the sides (line: mean)', loc='left'
        )
        for axes in (upper, lower):
            depth_axis(axes, shortened([short(name) for name in names], 28), stages)
        upper.tick_params(labelbottom=False)
        bar = figure.colorbar(
            image, ax=lower, pad=0.01, ticks=[0, 1, 5, 10, 25, 50, 100], fraction=0.05
        )
        bar.set_label('% of value')
        bar.outline.set_linewidth(0.4)
    return figure


def draw_windows(windows: Dict[str, Tensor], counts: Dict[str, ChannelCounts]) -> Figure:
    """Draws the learned windows: layers from low to high, channels by how often they choose their window, most often first.

    Args:
        windows: Windows by layer, of shape (C, k, k), including the scale of the norm after them (see :func:`effective_windows`).
        counts: Counts by layer.
    """
    layers = evenly(list(windows), MAX_WINDOW_ROWS)
    columns = min(max(len(windows[layer]) for layer in layers), MAX_WINDOW_COLUMNS)
    cell = (WIDTH - 0.75) / columns
    with style():
        figure = new_figure(len(layers) * (cell + 0.17) + 0.5)
        grid = figure.subplots(len(layers), 1, squeeze=False)[:, 0]
        for axes, layer in zip(grid, layers):
            shares = counts[layer.partition(' ')[0]].shares
            order = evenly(shares.argsort(descending=True, stable=True).tolist(), columns)
            image = _draw_row(axes, windows[layer], shares, order, columns)
            axes.set_ylabel(
                shortened([short(layer)], 22)[0], rotation=0, ha='right', va='center', labelpad=2
            )
        figure.suptitle(
            'Learned windows, from channels that choose theirs most often (left) to least. Above each: channel, share of pixels',
            fontsize=LABEL + 0.5,
        )
        bar = figure.colorbar(
            image, ax=grid.tolist(), orientation='horizontal', fraction=0.02, pad=0.01, aspect=60
        )
        bar.set_label('weight, as a share of the largest in its window')
        bar.outline.set_linewidth(0.4)
    return figure


def _draw_row(
    axes: Axes, windows: Tensor, shares: Tensor, order: Sequence[int], columns: int
) -> AxesImage:
    """Draw windows side by side on one pair of axes, because Matplotlib takes seconds to arrange separate ones."""
    side = windows.shape[-1]
    pitch = side * 1.18
    for place, channel in enumerate(order):
        window = windows[channel].numpy()
        left = place * pitch - 0.5
        image = axes.imshow(
            window / max(float(np.abs(window).max()), 1e-12),
            cmap='RdBu_r',
            vmin=-1,
            vmax=1,
            interpolation='nearest',
            extent=(left, left + side, side - 0.5, -0.5),
        )
        axes.add_patch(Rectangle((left, -0.5), side, side, fill=False, linewidth=0.5))
        axes.text(
            left + side / 2,
            -0.5 - 0.05 * side,
            f'{channel}: {100 * shares[channel]:.0f} %',
            fontsize=LABEL - 1.7,
            ha='center',
            va='bottom',
        )
    axes.set_xlim(-0.6, (columns - 1) * pitch + side - 0.4)
    axes.set_ylim(side - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_frame_on(False)
    return image
