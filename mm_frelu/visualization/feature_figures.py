"""Compare the same layer of two models on one image: means, channels and receptive fields, drawn by MMEngine's Visualizer."""

from typing import Any, Dict, List, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.visualization import Visualizer
from torch import Tensor

from mm_frelu.inspection.features import Features, side_that_holds

from .charts import LABEL, TITLE, WIDTH, new_figure, shortened, style
from .loaded_model import Prepared
from .text import wrap

SHARES = (0.5, 0.95)
"""Shares of the gradient inside the squares that are drawn."""
OPACITY = 0.55
COLORS = ('tab:blue', 'tab:orange')


def draw_comparison_of_features(
    name: str,
    layer: str,
    models: Dict[str, Tuple[Prepared, Features]],
    channels: Sequence[int],
    pixel: Tuple[float, float],
) -> Figure:
    """Draws a row for each model (mean over the channels, effective receptive field, chosen channels) and the means of all channels.

    Maps of one column share a scale, from the smallest to the largest value of both models, so that they can be compared. Each receptive
    field has its own scale, up to its largest gradient. The square root of the gradient is drawn, because its tails would be invisible.

    Args:
        name: Name of the image.
        layer: Name of the layer.
        models: The prepared image and the features of each model, by name.
        channels: Channels to draw.
        pixel: Row and column of the receptive field's pixel, as shares of the picture's height and width.
    """
    columns = ['mean of the channels', 'effective receptive field']
    columns += [f'channel {channel}' for channel in channels]
    pictures = [prepared.picture for prepared, _ in models.values()]
    cells = list(zip(*_columns_of_maps(models, channels)))
    width = WIDTH / len(columns)
    height = min(width * pictures[0].shape[0] / pictures[0].shape[1], 4.0)
    with style([name, *models]):
        figure = new_figure(len(models) * (height + 0.2) + 2.1)
        parts: Any = figure.subfigures(  # an array of two
            2, 1, height_ratios=[len(models) * (height + 0.2) + 0.5, 1.6]
        )
        upper, lower = parts
        grid = upper.subplots(len(models), len(columns), squeeze=False)
        for index, (row, (model, (prepared, features))) in enumerate(zip(grid, models.items())):
            for column, (axes, cell) in enumerate(zip(row, cells[index])):
                seen = prepared.picture.shape
                axes.imshow(cell, interpolation='nearest', extent=(0, seen[1], seen[0], 0))
                axes.set_xticks([])
                axes.set_yticks([])
                if not index:
                    axes.set_title(_wrapped(columns[column], width), fontsize=LABEL, pad=3)
            row[0].set_ylabel(shortened([model], 22)[0], fontsize=LABEL, fontweight='bold')
            _mark(row[1], prepared, features, pixel, width)
        upper.suptitle(
            f'{shortened([layer], 48)[0]}, {shortened([name], 34)[0]}',
            fontsize=TITLE,
            fontweight='bold',
        )
        _draw_means(lower.subplots(), models, channels)
    return figure


def _columns_of_maps(
    models: Dict[str, Tuple[Prepared, Features]], channels: Sequence[int]
) -> List[List[np.ndarray]]:
    """Return, for each column, the maps of all models over their pictures."""
    prepared = [prepared for prepared, _ in models.values()]
    features = [features for _, features in models.values()]
    columns = [_overlaid(prepared, [f.maps.mean(dim=0) for f in features])]
    columns.append([_overlaid([one], [f.gradient.sqrt()])[0] for one, f in zip(prepared, features)])
    for channel in channels:
        columns.append(_overlaid(prepared, [f.maps[channel] for f in features]))
    return columns


def _overlaid(prepared: Sequence[Prepared], maps: Sequence[Tensor]) -> List[np.ndarray]:
    """Draw maps over the pictures, with a common scale.

    MMEngine scales each map from its smallest to its largest value. The maps are put side by side into one array to share that scale.
    """
    height, width = (max(one.picture.shape[side] for one in prepared) for side in (0, 1))
    pictures, enlarged = [], []
    for one, values in zip(prepared, maps):
        full = F.interpolate(
            values[None, None].float(), one.tensor.shape[-2:], mode='bilinear', align_corners=False
        )[..., : one.picture.shape[0], : one.picture.shape[1]]
        enlarged.append(
            F.interpolate(full, (height, width), mode='bilinear', align_corners=False)[0]
        )
        pictures.append(cv2.resize(one.picture, (width, height), interpolation=cv2.INTER_LINEAR))
    drawn = Visualizer.draw_featmap(
        torch.cat(enlarged, dim=2),
        np.ascontiguousarray(np.concatenate(pictures, axis=1)),
        channel_reduction='squeeze_mean',
        alpha=OPACITY,
    )
    return np.split(drawn, len(pictures), axis=1)


def _wrapped(text: str, inches: float) -> str:
    return '\n'.join(wrap(text, 68 * inches, LABEL))


def _mark(
    axes: Axes,
    prepared: Prepared,
    features: Features,
    pixel: Tuple[float, float],
    inches: float,
) -> None:
    """Draw the squares around the pixel that contain 50 % and 95 % of the gradient. ``inches`` is the width of the axes."""
    height, width = prepared.picture.shape[:2]
    row, column = pixel[0] * height, pixel[1] * width
    sides = [side_that_holds(features.gradient, (row, column), share) for share in SHARES]
    for side, color in zip(sides, ('white', 'black')):
        corner = column - side / 2, row - side / 2
        axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=color, linewidth=0.8))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    text = _wrapped(f'{sides[0]} px hold 50 %, {sides[1]} px 95 %', inches)
    axes.set_xlabel(text, fontsize=LABEL - 1, labelpad=2)


def _draw_means(
    axes: Axes, models: Dict[str, Tuple[Prepared, Features]], channels: Sequence[int]
) -> None:
    means = [features.means.numpy() for _, features in models.values()]
    shown = min(len(values) for values in means)
    for values, color, model in zip(means, COLORS, models):
        axes.plot(
            values[:shown],
            'o',
            color=color,
            markersize=max(3 - shown / 200, 1),
            label=shortened([model], 40)[0],
        )
    axes.vlines(
        range(shown),
        np.minimum(*(values[:shown] for values in means)),
        np.maximum(*(values[:shown] for values in means)),
        color='0.7',
        linewidth=max(0.8 - shown / 1000, 0.2),
        zorder=0,
    )
    for channel in channels:
        axes.axvline(channel, color='0.9', linewidth=4, zorder=-1)
    axes.set_xlim(-1, shown)
    axes.set_xlabel('channel (grey: those drawn above)')
    axes.set_ylabel('mean of the map')
    axes.legend(
        loc='lower right',
        bbox_to_anchor=(1, 1),
        ncols=len(models),
        frameon=False,
        borderaxespad=0.2,
    )
