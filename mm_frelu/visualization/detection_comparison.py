"""Draw one figure that compares detectors on one image: the true boxes, then the boxes of each model and their errors."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure

from mm_frelu.evaluation.boxes import Detections, TrueBoxes
from mm_frelu.evaluation.outcomes import HIT_IOU, Outcome, Outcomes, outcomes_of

from . import overlay
from . import palette as colors
from .box_marks import Mark, draw_marks, font_size
from .comparison import with_fonts
from .figure import compose
from .layout import Sheet, choose_grid
from .legend import Entry
from .look import choose_palette
from .titles import Panel

TRUTH = 'Ground truth'

# The palette of Okabe and Ito ("Color Universal Design", 2008), as in palette.py.
OUTCOME_COLORS: Dict[Outcome, colors.Color] = {
    Outcome.HIT: (0, 158, 115),
    Outcome.WRONG_CLASS: (213, 94, 0),
    Outcome.BADLY_PLACED: (86, 180, 233),
    Outcome.WRONG_CLASS_AND_BADLY_PLACED: (0, 0, 0),
    Outcome.DUPLICATE: (204, 121, 167),
    Outcome.BACKGROUND: (240, 228, 66),
    Outcome.IN_CROWD: (160, 160, 160),
}
_LISTED: Any = colormaps['tab20']  # a listed colormap, with the attribute ``colors``
# The strong colours first, then the pale ones.
_TAB20 = [
    tuple(round(255 * c) for c in _LISTED.colors[index])
    for index in (*range(0, 20, 2), *range(1, 20, 2))
]
MISSED: colors.Color = (230, 159, 0)
OUTCOME_NAMES: Dict[Outcome, str] = {
    Outcome.HIT: 'hit',
    Outcome.WRONG_CLASS: 'wrong class',
    Outcome.BADLY_PLACED: 'badly placed',
    Outcome.WRONG_CLASS_AND_BADLY_PLACED: 'wrong class and badly placed',
    Outcome.DUPLICATE: 'duplicate',
    Outcome.BACKGROUND: 'nothing there',
    Outcome.IN_CROWD: 'in a crowd',
}
MISSED_NAME = 'missed (dashed)'


class BoxPanel(NamedTuple):
    """A panel of the figure: its title, remarks of several lengths next to it, and the boxes."""

    title: str
    remarks: Sequence[str]
    marks: List[Mark]


def draw_detections(
    image: np.ndarray,
    predictions: Dict[str, Detections],
    truth: Optional[TrueBoxes] = None,
    *,
    classes: Sequence[str],
    palette: Optional[Sequence[Sequence[int]]] = None,
    score_thrs: Optional[Dict[str, float]] = None,
    sheet: Optional[Sheet] = None,
) -> Figure:
    """Draws the true boxes and those of every model, each on its own panel.

    With ground truth, the outline of a detection shows its outcome (:class:`~mm_frelu.evaluation.outcomes.Outcome`), and missed
    objects are dashed. The background of a label always has the colour of the class. Without ground truth, outlines have the colour of
    the class too.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        predictions: Detections of each model, by name.
        truth: The annotations.
        classes: Names of the classes.
        palette: One RGB colour (0..255) for each class, or None to choose colours. Colours that are too similar are changed.
        score_thrs: Minimum score of the detections to draw, by model. Default: 0.3.
        sheet: Measures of the figure.

    Returns:
        A Matplotlib figure without a window. Write it with :func:`~mm_frelu.visualization.comparison.save_figure`.
    """
    thresholds = {name: (score_thrs or {}).get(name, 0.3) for name in predictions}
    families, classes, (predictions,) = with_fonts(classes, [predictions])
    thresholds = dict(zip(predictions, thresholds.values()))
    table = box_palette(palette, len(classes))
    shown = {name: found.above(thresholds[name]) for name, found in predictions.items()}
    outcomes = {
        name: outcomes_of(found, truth) for name, found in shown.items() if truth is not None
    }
    with rc_context({'font.family': families}):
        panels = [true_panel(truth, classes, table)] if truth is not None else []
        panels += [
            model_panel(name, found, truth, outcomes.get(name), classes, table)
            for name, found in shown.items()
        ]
        labels = np.concatenate([found.labels for found in shown.values()])
        if truth is not None:
            labels = np.concatenate([labels, truth.labels])
        groups = [
            [Entry(classes[number], tuple(table[number].tolist())) for number in np.unique(labels)],
            _meanings(outcomes.values()),
        ]
        note = _note(thresholds, truth is not None)
        return draw_panels(image, panels, groups, note, sheet or Sheet())


def draw_panels(
    image: np.ndarray,
    panels: Sequence[BoxPanel],
    groups: List[List[Entry]],
    note: str,
    sheet: Sheet,
) -> Figure:
    """Draws panels of boxes over one image, with a legend.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        panels: The panels.
        groups: Entries of the legend; each group starts a new row.
        note: Text below the legend.
        sheet: Measures of the figure.

    Returns:
        A Matplotlib figure.
    """
    size = image.shape[1::-1]
    grid = choose_grid(len(panels), size, False, sheet)
    picture = overlay.fit_image(image, grid.panel)
    shown = [
        Panel(panel.title, picture, remarks=panel.remarks if sheet.scores else ())
        for panel in panels
    ]
    figure = compose(grid, shown, groups, note)
    scale = (grid.panel[0] / size[0], grid.panel[1] / size[1])
    # The axes are in the order of the panels.
    for axes, panel in zip(figure.axes, panels):
        left_out = draw_marks(axes, panel.marks, scale, grid.sheet)
        if left_out:
            noun = 'label' if left_out == 1 else 'labels'
            axes.text(
                axes.get_xlim()[1] - 4,
                axes.get_ylim()[0] - 4,
                f'no room for {left_out} {noun}',
                fontsize=font_size(grid.sheet),
                ha='right',
                va='bottom',
                color='black',
                bbox=dict(facecolor='white', edgecolor='none', pad=1),
                zorder=6,
            )
    return figure


def true_panel(
    truth: TrueBoxes, classes: Sequence[str], table: np.ndarray, title: str = TRUTH
) -> BoxPanel:
    """Creates the panel of the annotations: outlines and labels in the colours of the classes, crowds dashed."""
    marks = []
    for box, label, crowd in zip(truth.boxes, truth.labels, truth.crowd):
        color = tuple(table[label].tolist())
        text = f'{classes[label]} (crowd)' if crowd else classes[label]
        marks.append(Mark(box, color, text, color, bool(crowd)))
    number = int((~truth.crowd).sum())
    return BoxPanel(title, [f'{number} {"object" if number == 1 else "objects"}'], marks)


def model_panel(
    name: str,
    found: Detections,
    truth: Optional[TrueBoxes],
    outcomes: Optional[Outcomes],
    classes: Sequence[str],
    table: np.ndarray,
) -> BoxPanel:
    """Creates the panel of a model: its detections, highest scores first, and the objects that it missed."""
    marks = []
    for index, (box, label, score) in enumerate(zip(*found)):
        fill = tuple(table[label].tolist())
        line = fill if outcomes is None else OUTCOME_COLORS[Outcome(outcomes.kinds[index])]
        marks.append(Mark(box, line, f'{classes[label]} {score:.2f}', fill))
    if outcomes is None or truth is None:
        return BoxPanel(name, [f'{len(marks)} {"box" if len(marks) == 1 else "boxes"}'], marks)
    for index in np.flatnonzero(outcomes.missed):
        label = truth.labels[index]
        fill = tuple(table[label].tolist())
        marks.append(Mark(truth.boxes[index], MISSED, classes[label], fill, True))
    errors = int((~np.isin(outcomes.kinds, (Outcome.HIT, Outcome.IN_CROWD))).sum())
    found_of = f'{int(outcomes.found.sum())} of {int((~truth.crowd).sum())} found'
    return BoxPanel(name, [f'{found_of}, {errors} wrong', found_of], marks)


def box_palette(palette, num_classes: int) -> np.ndarray:
    """Returns a colour for each class: the given ones, otherwise Matplotlib's ``tab20`` (up to 20 classes), otherwise Pascal VOC's."""
    if palette is None and num_classes <= len(_TAB20):
        return np.array(_TAB20[:num_classes])
    return choose_palette(palette, num_classes, 'apart')


def _meanings(outcomes) -> List[Entry]:
    """Create legend entries for the outcomes that occur."""
    kinds = sorted({kind for found in outcomes for kind in found.kinds.tolist()})
    entries = [Entry(OUTCOME_NAMES[Outcome(kind)], OUTCOME_COLORS[Outcome(kind)]) for kind in kinds]
    if any(found.missed.any() for found in outcomes):
        entries.append(Entry(MISSED_NAME, MISSED))
    return entries


def _note(thresholds: Dict[str, float], has_truth: bool) -> str:
    values = set(thresholds.values())
    if len(values) == 1:
        text = f'Boxes with a score of at least {values.pop():g}.'
    else:
        text = (
            'Boxes with a score of at least '
            + ', '.join(f'{value:g} ({name})' for name, value in thresholds.items())
            + '.'
        )
    if has_truth:
        text += f' Outlines say what became of a box (a hit has IoU {HIT_IOU:g} or more), labels have the colour of the class.'
    return text
