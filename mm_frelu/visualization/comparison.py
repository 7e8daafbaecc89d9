"""Draw one figure that compares segmentation models on one image, similar to Figure 4 of the FReLU paper."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, TypeVar, Union

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from mm_frelu.engine.write_file import write_file

from .figure import compose
from .fonts import drawable, families_for, tell_lacking
from .layout import Sheet, choose_grid
from .legend import Entry
from .look import CONFUSION_NOTE, SCORE_NOTE, Look, choose_palette, score_remarks
from .scene import Crop, Scene, make_scene
from .titles import Panel

FORMATS = ('png', 'pdf', 'svg')

Found = TypeVar('Found')

# TrueType in PDF, because publishers reject Type 3 fonts. Outlines in SVG, because the viewer may lack the font.
_VECTOR: Any = {'pdf.fonttype': 42, 'svg.fonttype': 'path'}


def draw_comparison(
    image: np.ndarray,
    predictions: Dict[str, np.ndarray],
    ground_truth: Optional[np.ndarray] = None,
    *,
    classes: Sequence[str],
    palette: Optional[Sequence[Sequence[int]]] = None,
    palette_kind: str = 'apart',
    crop: Crop = None,
    opacity: float = 0.65,
    only_mask: bool = False,
    errors: bool = True,
    ignore_index: int = 255,
    sheet: Optional[Sheet] = None,
) -> Figure:
    """Draws an image, its ground truth, the prediction of every model, and where models are wrong or differ.

    With ground truth, each model has an error map next to or below its prediction, and its mean IoU and pixel accuracy on the image
    in the title. Without ground truth, and with at least two models, one map shows the pixels on which the models differ. Scores are
    always computed on the whole image, even if a crop is shown.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        predictions: Class ids of each model, an integer array (H, W), by name of the model.
        ground_truth: Class ids or ``ignore_index``, an integer array (H, W).
        classes: Names of the classes.
        palette: One RGB colour (0..255) for each class; Pascal VOC's colours if None.
        palette_kind: ``'apart'`` to change colours that are too similar to another, ``'dataset'`` to keep the dataset's colours.
        crop: None for the whole image, ``'auto'`` for the region where the models differ most (for one model: where it has most
            errors), or ``(x, y, width, height)`` in pixels. A small overview shows the position of the crop.
        opacity: Opacity of the class colours over the image, 0 to 1.
        only_mask: Draw only the class colours, not the image below them.
        errors: Draw error maps, or the map of differences between models.
        ignore_index: The label that means "not labelled". Such pixels are hatched and do not count in scores.
        sheet: Measures of the figure.

    Returns:
        A Matplotlib figure without a window. Write it with :func:`save_figure`.

    Raises:
        ValueError: If sizes differ, a class id is out of range, or the opacity or the crop is out of range.
    """
    table = choose_palette(palette, len(classes), palette_kind)
    check_opacity(opacity)
    families, classes, (predictions,) = with_fonts(classes, [predictions])
    scene = make_scene(image, predictions, ground_truth, len(classes), crop, ignore_index)
    look = Look(classes, table, opacity, only_mask, ignore_index)
    with rc_context({'font.family': families}):
        return _draw(scene, look, errors, sheet or Sheet())


def _draw(scene: Scene, look: Look, errors: bool, sheet: Sheet) -> Figure:
    labelled = scene.ground_truth is not None
    paired = labelled and errors
    models = list(scene.predictions)
    differs = errors and not labelled and len(models) > 1
    num_units = 1 + len(models) + differs + (labelled and not paired)
    grid = choose_grid(num_units, (scene.box.width, scene.box.height), paired, sheet)
    sheet = grid.sheet
    painter = look.painter(scene.box.cut(scene.image), grid.panel, sheet)

    panels = [Panel('Image', painter.image())]
    if scene.ground_truth is not None:
        truth = scene.box.cut(scene.ground_truth)
        panels.append(Panel('Ground truth', painter.labels(truth)))
    for model in models:
        remarks = score_remarks(look.scores(scene, model)) if labelled and sheet.scores else ()
        picture = painter.labels(scene.box.cut(scene.predictions[model]))
        panels.append(Panel(model, picture, remarks=remarks))
        if paired:
            errors_of = look.errors(painter, scene, model)
            panels.append(errors_of if sheet.scores else errors_of._replace(remarks=()))
    if differs:
        panels.append(look.disagreement(painter, scene))

    meanings: List[Entry] = look.error_entries([scene]) if paired else []
    meanings = look.difference_entries(scene) if differs else meanings
    groups = [look.class_entries([scene]), meanings + look.unlabelled_entries([scene])]
    notes = [SCORE_NOTE] if labelled and sheet.scores else []
    notes += [CONFUSION_NOTE] if paired and sheet.scores else []
    notes += [scene.note] if scene.note else []
    overview = (scene.image, scene.box) if scene.is_cropped else None
    return compose(grid, panels, groups, ' '.join(notes), overview)


def save_figure(figure: Figure, path: Union[str, Path]) -> Path:
    """Writes a figure atomically. Missing folders are created.

    Text in PDF and SVG is vector graphics: TrueType fonts in PDF, outlines in SVG.

    Args:
        figure: The figure.
        path: The file to write, ending in ``.png``, ``.pdf`` or ``.svg``.

    Returns:
        The path.

    Raises:
        ValueError: If the path has another ending.
    """
    path = Path(path)
    kind = path.suffix.lower()[1:]
    if kind not in FORMATS:
        raise ValueError(
            f'The name of a figure must end in {", ".join("." + kind for kind in FORMATS)}; found {path}.'
        )
    with write_file(path, 'wb') as stream, rc_context(_VECTOR):
        figure.savefig(stream, format=kind, dpi=figure.dpi)
    return path


def with_fonts(
    classes: Sequence[str], predictions: Sequence[Dict[str, Found]]
) -> Tuple[List[str], Sequence[str], List[Dict[str, Found]]]:
    """Returns font families for these names, and the names, with "class N" and "model N" for those that no font can show."""
    models = list(dict.fromkeys(name for named in predictions for name in named))
    families, absent = families_for([*models, *classes, '→–…'])
    if absent:
        tell_lacking(absent)
        classes = drawable(classes, 'class', absent)
        shown = dict(zip(models, drawable(models, 'model', absent)))
        predictions = [
            {shown[name]: labels for name, labels in named.items()} for named in predictions
        ]
    return families, classes, list(predictions)


def check_opacity(opacity: float) -> None:
    """Raises ValueError if the opacity is out of range."""
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity must be between 0 and 1; found {opacity}.')
