"""Draw boxes with their labels on a panel of a figure."""

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .label_places import Place, place_labels
from .layout import Sheet
from .palette import Color
from .text import text_points

_PADDING = (1.1, 0.7)
_LINE, _HALO = 1.1, 2.0
"""In points, like all lengths in this file unless stated otherwise."""


class Mark(NamedTuple):
    """A box to draw.

    Attributes:
        box: Left, top, right, bottom in pixels of the image.
        line: Colour of its outline.
        text: Its label; may be empty.
        fill: Colour behind the label.
        dashed: Whether the outline is dashed.
    """

    box: Sequence[float]
    line: Color
    text: str
    fill: Color
    dashed: bool = False


def draw_marks(axes: Axes, marks: Sequence[Mark], scale: Tuple[float, float], sheet: Sheet) -> int:
    """Draws boxes, then their labels, which do not overlap.

    Args:
        axes: Axes with the panel's pixels as coordinates, y down.
        marks: The boxes. Labels are placed in this order, so the first ones get the best positions.
        scale: Pixels of the panel per pixel of the image, horizontally and vertically.
        sheet: The sheet of the figure, with a number of pixels per inch.

    Returns:
        The number of labels that do not fit.
    """
    area = (axes.get_xlim()[1], axes.get_ylim()[0])
    boxes = np.array([mark.box for mark in marks], dtype=float).reshape(-1, 4) * [*scale, *scale]
    boxes = np.clip(boxes, 0, [*area, *area])
    sizes = [label_size(mark.text, sheet) for mark in marks]
    places = place_labels(boxes, sizes, area)
    # Draw large boxes first, so that they do not cover small ones.
    order = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind='stable')
    for index in order:
        _draw_box(axes, boxes[index], marks[index])
    for box, mark, size, place in zip(boxes, marks, sizes, places):
        if place is None or size is None:
            continue
        if place.far:
            middle = (place.x + size[0] / 2, place.y + size[1] / 2)
            ends = zip(middle, _nearest_on_outline(box, middle))
            axes.plot(*ends, color=np.divide(mark.line, 255), linewidth=0.8, zorder=3)
        _draw_label(axes, place, size, mark, sheet)
    return sum(bool(mark.text) and place is None for mark, place in zip(marks, places))


def label_size(text: str, sheet: Sheet) -> Optional[Tuple[float, float]]:
    """Returns width and height of a label in pixels of the panel; None for an empty text."""
    if not text:
        return None
    size = font_size(sheet)
    width, height = text_points(text, size) + 2 * _PADDING[0], 1.15 * size + 2 * _PADDING[1]
    return width * sheet.resolution / 72, height * sheet.resolution / 72


def font_size(sheet: Sheet) -> float:
    """Returns the font size of labels in points, smaller than all other text."""
    return 0.69 * sheet.font_size


def contrasting(color: Color) -> str:
    """Returns black or white, whichever is easier to read on a colour (relative luminance of WCAG 2)."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.divide(color, 255)
    ]
    luminance = np.dot(linear, (0.2126, 0.7152, 0.0722))
    return 'black' if luminance > 0.179 else 'white'


def _nearest_on_outline(box: np.ndarray, point: Tuple[float, float]) -> np.ndarray:
    inside = np.clip(point, box[:2], box[2:])
    gaps = np.abs(np.concatenate([inside, inside]) - box)
    side = int(gaps.argmin())  # left, top, right or bottom
    inside[side % 2] = box[side]
    return inside


def _draw_box(axes: Axes, box: np.ndarray, mark: Mark) -> None:
    size = box[2:] - box[:2]
    halo = contrasting(mark.line)
    for color, width, style in (
        (halo, _HALO, 'solid'),
        (np.divide(mark.line, 255), _LINE, (0, (3, 2)) if mark.dashed else 'solid'),
    ):
        axes.add_patch(
            Rectangle(
                (box[0], box[1]),
                *size,
                fill=False,
                edgecolor=color,
                linewidth=width,
                linestyle=style,
                joinstyle='miter',
                zorder=2,
                alpha=0.55 if color is halo else None,
            )
        )


def _draw_label(
    axes: Axes, place: Place, size: Tuple[float, float], mark: Mark, sheet: Sheet
) -> None:
    axes.add_patch(
        Rectangle(
            (place.x, place.y),
            *size,
            facecolor=np.divide(mark.fill, 255),
            edgecolor=np.divide(mark.line, 255),
            linewidth=0.6,
            zorder=4,
            gid='label',
        )
    )
    axes.text(
        place.x + _PADDING[0] * sheet.resolution / 72,
        place.y + size[1] / 2,
        mark.text,
        fontsize=font_size(sheet),
        color=contrasting(mark.fill),
        va='center_baseline',
        ha='left',
        parse_math=False,
        zorder=5,
    )
