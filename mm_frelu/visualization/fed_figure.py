"""Draw the output of a pipeline: an image with its boxes, with its label map, or with its class as the title."""

from typing import List, Optional, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from mm_frelu.evaluation.boxes import TrueBoxes

from .comparison import with_fonts
from .detection_comparison import BoxPanel, box_palette, draw_panels, true_panel
from .figure import compose
from .layout import Sheet, choose_grid
from .legend import Entry, class_entries
from .look import choose_palette
from .painter import Painter
from .titles import Panel

_OPACITY = 0.65


def draw_boxes(
    image: np.ndarray,
    boxes: TrueBoxes,
    classes: Sequence[str],
    palette: Optional[Sequence[Sequence[int]]],
    title: str,
) -> Figure:
    """Draws an image with its boxes.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        boxes: The boxes.
        classes: Names of the classes.
        palette: One RGB colour for each class, or None.
        title: Title of the figure.

    Returns:
        A Matplotlib figure without a window.
    """
    table = box_palette(palette, len(classes))
    families, classes, _ = with_fonts(classes, [{title: image}])
    with rc_context({'font.family': families}):
        entries = [
            Entry(classes[number], tuple(table[number].tolist()))
            for number in np.unique(boxes.labels)
        ]
        return draw_panels(
            image, [true_panel(boxes, classes, table, title)], [entries], '', Sheet()
        )


def draw_label_map(
    image: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    palette: Optional[Sequence[Sequence[int]]],
    ignore_index: int,
    title: str,
) -> Figure:
    """Draws an image and its label map side by side.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        labels: Class ids or ``ignore_index``, (H, W).
        classes: Names of the classes.
        palette: One RGB colour for each class, or None.
        ignore_index: The label that means "not labelled". Such pixels are hatched.
        title: Title of the image.

    Returns:
        A Matplotlib figure without a window.
    """
    table = choose_palette(palette, len(classes), 'apart')
    families, classes, _ = with_fonts(classes, [{title: image}])
    with rc_context({'font.family': families}):
        grid = choose_grid(2, image.shape[1::-1], False, Sheet())
        painter = Painter.over(
            image,
            grid.panel,
            palette=table,
            opacity=_OPACITY,
            only_mask=False,
            ignore_index=ignore_index,
            sheet=grid.sheet,
        )
        panels = [Panel(title, painter.image()), Panel('Labels', painter.labels(labels))]
        unlabelled: List[Entry] = (
            [Entry('not labelled', None)] if (labels == ignore_index).any() else []
        )
        groups = [class_entries([labels], classes, table, ignore_index), unlabelled]
        return compose(grid, panels, groups, '')


def draw_plain(image: np.ndarray, title: str) -> Figure:
    """Draws an image with a title."""
    families, _, _ = with_fonts([], [{title: image}])
    with rc_context({'font.family': families}):
        return draw_panels(image, [BoxPanel(title, (), [])], [], '', Sheet(width=3.6))
