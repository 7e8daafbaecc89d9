"""Draw one figure for several images, with images as rows and models as columns, like Figure 4 of the FReLU paper."""

from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .comparison import check_opacity, with_fonts
from .figure import Placed, draw_figure
from .layout import Sheet, require_paintable
from .legend import Legend
from .look import SCORE_NOTE, Look, choose_palette, score_remarks
from .scene import Crop, Scene, make_scene
from .titles import Panel, make_headings


class Row(NamedTuple):
    """An image with the predictions of the models, see :func:`~mm_frelu.visualization.draw_comparison`.

    Attributes:
        image: The image, (H, W, 3).
        predictions: Class ids, (H, W), by name of the model.
        ground_truth: Class ids, (H, W), or None.
    """

    image: np.ndarray
    predictions: Dict[str, np.ndarray]
    ground_truth: Optional[np.ndarray] = None


def draw_rows(
    rows: Sequence[Row],
    *,
    classes: Sequence[str],
    palette: Optional[Sequence[Sequence[int]]] = None,
    palette_kind: str = 'apart',
    crop: Crop = None,
    opacity: float = 0.65,
    only_mask: bool = False,
    errors: bool = False,
    ignore_index: int = 255,
    sheet: Optional[Sheet] = None,
) -> Figure:
    """Draws a row for each image, with columns for the image, its ground truth, and each model.

    With a crop, the first column shows the whole image with a frame around the crop, and the next one shows the crop itself.

    Args:
        rows: The images. All must have the same models, and either all or none must have ground truth.
        classes: Names of the classes.
        palette: One RGB colour (0..255) for each class; Pascal VOC's colours if None.
        palette_kind: ``'apart'`` to change colours that are too similar to another, ``'dataset'`` to keep the dataset's colours.
        crop: None, ``'auto'`` or ``(x, y, width, height)`` in pixels, for each image.
        opacity: Opacity of the class colours over the image, 0 to 1.
        only_mask: Draw only the class colours, not the image below them.
        errors: Add a column with the errors of each model.
        ignore_index: The label that means "not labelled".
        sheet: Measures of the figure. Its number of columns is ignored: it follows from the models.

    Returns:
        A Matplotlib figure without a window.

    Raises:
        ValueError: For the same reasons as in ``draw_comparison``, and if there are no rows or rows have different models.
    """
    if not rows:
        raise ValueError('There is nothing to draw: rows is empty.')
    models = list(rows[0].predictions)
    if any(list(row.predictions) != models for row in rows):
        raise ValueError(f'All rows must have the same models, those of the first: {models}.')
    if len({row.ground_truth is None for row in rows}) > 1:
        raise ValueError('Either all rows have ground truth or none has.')
    table = choose_palette(palette, len(classes), palette_kind)
    check_opacity(opacity)
    families, classes, predictions = with_fonts(classes, [row.predictions for row in rows])
    scenes = [
        make_scene(row.image, named, row.ground_truth, len(classes), crop, ignore_index)
        for row, named in zip(rows, predictions)
    ]
    look = Look(classes, table, opacity, only_mask, ignore_index)
    with rc_context({'font.family': families}):
        return _draw(scenes, look, errors, sheet or Sheet())


def _draw(scenes: Sequence[Scene], look: Look, errors: bool, sheet: Sheet) -> Figure:
    labelled = scenes[0].ground_truth is not None
    errors = errors and labelled
    cropped = any(scene.is_cropped for scene in scenes)
    num_columns = 1 + cropped + labelled + len(scenes[0].predictions) * (1 + errors)
    width = sheet.panel_inches(num_columns)
    sheet = sheet.with_dpi(width, [(scene.box.width, scene.box.height) for scene in scenes])
    width = max(sheet.px(width), 8)

    placed: List[Placed] = []
    top = sheet.margin
    for number, scene in enumerate(scenes):
        panels = _row(scene, look, errors, cropped, width, sheet)
        headings = make_headings(panels, width, sheet, titled=not number)
        # A remark has its own line, like in the later rows without titles.
        headings = [heading._replace(beside=False) for heading in headings]
        above = max(heading.height for heading in headings)
        top += above
        for column, (panel, heading) in enumerate(zip(panels, headings)):
            left = sheet.margin + column * (width + sheet.gap)
            placed.append(Placed(panel, (left, top), heading, above))
        top += max(panel.picture.shape[0] for panel in panels) + sheet.gap
    across = 2 * sheet.margin + num_columns * width + (num_columns - 1) * sheet.gap
    height, legend = top - sheet.gap + sheet.margin, None
    if sheet.legend:
        notes = [SCORE_NOTE] if labelled and sheet.scores else []
        notes += sorted({scene.note for scene in scenes if scene.note})
        meanings = look.error_entries(scenes) if errors else []
        groups = [look.class_entries(scenes), meanings + look.unlabelled_entries(scenes)]
        drawn = Legend(groups, ' '.join(notes), across - 2 * sheet.margin, sheet)
        legend = drawn, (sheet.margin, top + sheet.gap)
        height = top + sheet.gap + drawn.height + sheet.margin
    return draw_figure(sheet, (across, height), placed, legend)


def _row(
    scene: Scene, look: Look, errors: bool, cropped: bool, width: int, sheet: Sheet
) -> List[Panel]:
    """Create the panels of an image."""
    panels = []
    size = (width, max(round(width * scene.box.height / scene.box.width), 1))
    require_paintable(size)
    painter = look.painter(scene.box.cut(scene.image), size, sheet)
    if cropped:
        image_width, image_height = scene.size
        # Not higher than the crops next to it.
        scale = min(width / image_width, size[1] / image_height)
        whole_size = (max(round(image_width * scale), 1), max(round(image_height * scale), 1))
        whole = look.painter(scene.image, whole_size, sheet).image()
        box = scene.box
        frame = (
            box.x / image_width,
            box.y / image_height,
            box.width / image_width,
            box.height / image_height,
        )
        panels.append(Panel('Image', whole, frame=frame if scene.is_cropped else None))
    panels.append(Panel('Crop' if cropped else 'Image', painter.image()))
    if scene.ground_truth is not None:
        truth = scene.box.cut(scene.ground_truth)
        panels.append(Panel('Ground truth', painter.labels(truth)))
    for model in scene.predictions:
        remarks: Sequence[str] = ()
        if scene.ground_truth is not None and sheet.scores:
            remarks = score_remarks(look.scores(scene, model))[-1:]
        picture = painter.labels(scene.box.cut(scene.predictions[model]))
        panels.append(Panel(model, picture, remarks=remarks))
        if errors:
            panels.append(look.errors(painter, scene, model)._replace(remarks=()))
    return panels
