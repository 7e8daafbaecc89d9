"""Figures of DY-ReLU: output against input, slope differences, coefficients and attention, like in the DY-ReLU paper."""

import math
from typing import Any, Dict, Sequence

import numpy as np
import torch
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from torch import Tensor

from mm_frelu.inspection.dynamic import DynamicRecord, band, quantiles
from mm_frelu.inspection.layers import evenly, short, stage_of

from .charts import (
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

MAX_PANELS, MAX_LAYERS_OF_COEFFICIENTS, MAX_DOTS = 12, 4, 6000
START = ((1.0, 0.0), (0.0, 0.0))
"""Slopes and intercepts of ReLU, close to the initial coefficients."""


def draw_scatter(records: Dict[str, DynamicRecord], images: int) -> Figure:
    """Draws output against input for each layer. Where the activation is dynamic, one input has a range of outputs.

    Args:
        records: Records by layer, from low to high.
        images: Number of recorded images.
    """
    layers = evenly(list(records), MAX_PANELS)
    columns = min(len(layers), 4)
    rows = math.ceil(len(layers) / columns)
    with style():
        figure = new_figure(rows * 1.85 + 0.25)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, layer in zip(grid.flatten(), layers):
            sample = records[layer].sample
            step = max(len(sample.x) // MAX_DOTS, 1)
            axes.scatter(
                sample.x[::step], sample.y[::step], s=1, color='tab:blue', alpha=0.25, lw=0,
                rasterized=True, label='values',
            )  # fmt: skip
            centres, ranges = band(sample)
            for index, values in enumerate(ranges):
                axes.plot(
                    centres, values, color='tab:red', linewidth=0.9,
                    label=None if index else '1 % and 99 % of y',
                )  # fmt: skip
            low, high = quantiles(sample.x, (0.002, 0.998)).tolist()
            line = np.array([low, 0.0, high]) if low < 0 < high else np.array([low, high])
            axes.plot(
                line,
                np.maximum(line, 0),
                color='black',
                linewidth=0.8,
                linestyle='--',
                label='ReLU',
            )
            lowest, highest = quantiles(sample.y, (0.002, 0.998)).tolist()
            room = 0.05 * max(highest - lowest, 1e-6)
            axes.set_xlim(low, high)
            axes.set_ylim(min(lowest, 0) - room, max(highest, 0) + room)
            width = float((ranges[1] - ranges[0]).mean()) if len(centres) else 0.0
            two_line_title(
                axes, title_for(short(layer), columns), f'mean range of y at one x: {width:.2f}'
            )
            axes.locator_params(nbins=5)
        for axes in grid.flatten()[len(layers) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel('output y')
        for column in range(columns):
            last = max(index for index in range(len(layers)) if index % columns == column)
            grid.flatten()[last].set_xlabel('input x')
        handles, labels = grid[0, 0].get_legend_handles_labels()
        legend = figure.legend(
            handles, labels, loc='outside lower center', ncols=3, frameon=False, markerscale=5
        )
        legend.set_title('')
        figure.suptitle(
            f'Output against input of DY-ReLU, {images} image{"s" * (images > 1)}, layers from low to high',
            fontsize=8,
        )
    return figure


def draw_slope_differences(records: Dict[str, DynamicRecord], images: int) -> Figure:
    """Draws the distribution of |a1 - a2| for each layer, from low to high. 0 is a straight line, 1 bends as much as ReLU.

    Args:
        records: Records by layer, from low to high.
        images: Number of recorded images.
    """
    names = list(records)
    values = [torch.cat(record.differences).numpy() for record in records.values()]
    with style():
        figure = new_figure(2.9)
        axes = figure.subplots()
        boxes = axes.boxplot(
            values,
            positions=range(len(names)),
            widths=0.6,
            whis=(1, 99),  # codespell:ignore whis
            showfliers=False,
            patch_artist=True,
            medianprops=dict(color='black', linewidth=1),
            boxprops=dict(facecolor='#9ecae1', linewidth=0.5),
            whiskerprops=dict(linewidth=0.6),
            capprops=dict(linewidth=0.6),
        )
        means = axes.plot([value.mean() for value in values], 'o', color='tab:red', markersize=3)
        line = axes.axhline(1, color='0.4', linewidth=0.8, linestyle='--', zorder=0)
        depth_axis(
            axes, shortened([short(name) for name in names], 28), [stage_of(n) for n in names]
        )
        axes.set_ylim(0, max(1.15, 1.08 * max(np.quantile(value, 0.99) for value in values)))
        pieces = records[names[0]].slopes[0].shape[0]
        axes.set_ylabel('|a1 - a2|' if pieces == 2 else 'largest slope - smallest')
        figure.legend(
            [boxes['boxes'][0], boxes['whiskers'][0], means[0], line],
            ['half of the values, median', '1 % to 99 %', 'mean', 'ReLU'],
            loc='outside lower center',
            ncols=4,
            frameon=False,
        )
        axes.set_title(
            f'How much DY-ReLU bends, over {images} image{"s" * (images > 1)} and all channels',
            loc='left',
        )
    return figure


def draw_coefficients(records: Dict[str, DynamicRecord], names: Sequence[str]) -> Figure:
    """Draws the coefficients as heat maps, with a row for each image and a column for each channel.

    Args:
        records: Records by layer, from low to high.
        names: Names of the images.
    """
    layers = evenly(list(records), MAX_LAYERS_OF_COEFFICIENTS)
    tables = {layer: _tables(records[layer]) for layer in layers}
    # Layers may differ in the number of pieces, or lack intercepts.
    kinds = sorted({kind for table in tables.values() for kind in table})
    height = min(max(0.028 * len(names), 0.6), 1.6)
    with style():
        figure = new_figure(len(layers) * (height + 0.42) + 0.75)
        grid = figure.subplots(len(layers), len(kinds), squeeze=False)
        images, ticks = {}, {}
        for kind in kinds:
            start = START[kind[0] == 'b'][min(int(kind[1:]) - 1, 1)]
            shown = [table[kind] for table in tables.values() if kind in table]
            far = max(1e-3, *(float(np.abs(table - start).max()) for table in shown))
            norm = TwoSlopeNorm(start, start - far, start + far)
            ticks[kind] = [start - far, start, start + far]
            for row, layer in zip(grid, layers):
                axes = row[kinds.index(kind)]
                if kind not in tables[layer]:
                    axes.set_axis_off()
                    continue
                images[kind] = axes.imshow(
                    tables[layer][kind],
                    cmap='RdBu_r',
                    norm=norm,
                    aspect='auto',
                    interpolation='nearest',
                )
                axes.set_yticks([0, len(names) - 1] if len(names) > 1 else [0])
                axes.set_yticklabels([1, len(names)] if len(names) > 1 else [1])
                channels = tables[layer][kind].shape[1]
                axes.set_xticks([0, channels - 1] if channels > 1 else [0])
                axes.set_title(kind, pad=2, loc='right')
        for row, layer in zip(grid, layers):
            for axes in row[1:]:
                axes.set_yticklabels([])
            row[0].set_ylabel('image')
            row[0].set_title(
                f'{shortened([short(layer)], 20)[0]}', loc='left', pad=2, fontweight='bold'
            )
            row[0].set_title(kinds[0], loc='right', pad=2)
        for axes in grid[-1]:
            axes.set_xlabel('channel', labelpad=1)
        for index, kind in enumerate(kinds):
            bar = figure.colorbar(
                images[kind],
                ax=grid[:, index].tolist(),
                orientation='horizontal',
                fraction=0.04,
                pad=0.02,
            )
            bar.outline.set_linewidth(0.4)
            bar.set_ticks(ticks[kind], labels=[f'{value:.2f}' for value in ticks[kind]])
            label: Any  # Text, whose type lacks set_ha
            for label, side in zip(bar.ax.get_xticklabels(), ('left', 'center', 'right')):
                label.set_ha(side)
        figure.suptitle(
            'Coefficients of DY-ReLU for each image and channel (white: those of ReLU)', fontsize=8
        )
    return figure


def _tables(record: DynamicRecord) -> Dict[str, np.ndarray]:
    """Return each coefficient of a layer, of shape (images, channels)."""
    slopes = torch.stack(record.slopes)
    tables = {f'a{k + 1}': slopes[:, k].numpy() for k in range(slopes.shape[1])}
    found = [values for values in record.intercepts if values is not None]
    if found:
        intercepts = torch.stack(found)
        tables.update({f'b{k + 1}': intercepts[:, k].numpy() for k in range(intercepts.shape[1])})
    return tables


def draw_attention(name: str, prepared: Prepared, attention: Dict[str, Tensor]) -> Figure:
    """Draws the spatial attention of DY-ReLU-C over the picture.

    Args:
        name: Name of the image.
        prepared: The image.
        attention: Attention by layer, of shape (H, W), including the padding.
    """
    seen, fed = prepared.picture.shape[:2], tuple(prepared.tensor.shape[-2:])
    inside = {layer: prepared.inside(values) for layer, values in attention.items()}
    # Values may be far from 0 and 1 (the paper's mean is 1/3), so the scale ranges from the smallest to the largest value.
    smallest = min(float(values.min()) for values in inside.values())
    largest = max(float(values.max()) for values in inside.values())
    smallest = smallest if smallest < largest else 0.0  # an identity start is 1 everywhere
    columns = columns_for(len(attention) + 1, seen[1] / seen[0])
    rows = math.ceil((len(attention) + 1) / columns)
    grey = np.repeat(prepared.picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    with style([name]):
        panel = WIDTH / columns * min(seen[0] / seen[1], 3) * 0.95
        figure = new_figure(rows * (panel + 0.36) + 0.45)
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        show_picture(grid[0], prepared.picture)
        two_line_title(grid[0], title_for(name, columns), f'{seen[1]} x {seen[0]} as fed')
        for axes, (layer, values) in zip(grid[1:], attention.items()):
            show_picture(axes, grey)
            image = show_map(
                axes,
                values.numpy(),
                fed,
                seen,
                cmap='inferno',
                vmin=smallest,
                vmax=largest,
                alpha=0.75,
            )
            low, high = inside[layer].min(), inside[layer].max()
            two_line_title(
                axes,
                title_for(short(layer), columns),
                f'mean {float(inside[layer].mean()):.2f}, from {float(low):.2f} to {float(high):.2f}',
            )
        for axes in grid[len(attention) + 1 :]:
            axes.set_axis_off()
        bar = figure.colorbar(
            image, ax=grid.tolist(), orientation='horizontal', fraction=0.03, pad=0.02, aspect=50
        )
        bar.set_label('attention, what the output is multiplied by')
        bar.outline.set_linewidth(0.4)
    return figure


def attention_of(records: Dict[str, DynamicRecord], most: int = 8) -> Dict[str, Tensor]:
    """Returns the attention of the last image, in evenly spaced layers."""
    found = {
        name: record.attention for name, record in records.items() if record.attention is not None
    }
    return {name: found[name] for name in evenly(list(found), most)}
