"""One figure that compares segmentation models on one image, in the manner of Figure 4 of the FReLU paper."""

import math
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from mm_frelu.engine.write_file import write_file

from . import overlay
from . import palette as colors
from .crop import Box, difference_density, find_crop
from .differences import Scores, count_answers, error_map, image_scores
from .figure import Panel, compose
from .fonts import drawable, families_for, tell_lacking
from .layout import choose_grid
from .legend import Entry, class_entries
from .painter import Painter

Crop = Union[None, str, Box, Tuple[int, int, int, int]]


def draw_comparison(
    image: np.ndarray,
    predictions: Dict[str, np.ndarray],
    ground_truth: Optional[np.ndarray] = None,
    *,
    classes: Sequence[str],
    palette: Optional[Sequence[Sequence[int]]] = None,
    crop: Crop = None,
    opacity: float = 0.65,
    only_mask: bool = False,
    ignore_index: int = 255,
) -> Figure:
    """Draws the image, the ground truth, the prediction of every model and where they are wrong or differ.

    With ground truth each model gets an error map beside or under its prediction, and the image's mean IoU and pixel accuracy in
    the title. Without, and with two models or more, there is one map of the pixels on which the models differ. The scores are
    always those of the whole image, also when a crop is shown.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        predictions: Name of each model and its class numbers, an integer array (H, W).
        ground_truth: Class numbers or ``ignore_index``, an integer array (H, W).
        classes: Names of the classes.
        palette: One RGB colour (0..255) for each class; Pascal VOC's colours if None.
        crop: None for the whole image, ``'auto'`` for the region where the models differ most (one model: where it is wrong
            most), or ``(x, y, width, height)`` in pixels. A small overview shows where the crop lies.
        opacity: Opacity of the class colours over the image, 0 to 1.
        only_mask: Draw only the class colours, not the image below them.
        ignore_index: The label that stands for "not labelled". Such pixels are hatched and count in no score.

    Returns:
        A Matplotlib figure of 200 dpi that belongs to no window; write it with :func:`save_comparison`.

    Raises:
        ValueError: Sizes that differ, class numbers without a class, an opacity or a crop out of range.
    """
    num_classes = len(classes)
    families, absent = families_for([*predictions, *classes])
    if absent:
        tell_lacking(absent)
        classes = drawable(classes, 'class', absent)
        predictions = dict(zip(drawable(predictions, 'model', absent), predictions.values()))
    table = colors.as_palette(palette, num_classes)
    _check(image, predictions, ground_truth, num_classes, opacity, ignore_index)
    box, note = _choose_box(crop, list(predictions.values()), ground_truth, image, ignore_index)

    paired = ground_truth is not None
    differs = not paired and len(predictions) > 1
    grid = choose_grid(1 + len(predictions) + differs, (box.width, box.height), paired)
    background = overlay.enlarge_image(box.cut(image), grid.panel)
    painter = Painter(background, grid.panel, table, opacity, only_mask, ignore_index)
    truth = box.cut(ground_truth) if paired else None

    units = [[Panel('Image', '', painter.image())]]
    if paired:
        units[0].append(Panel('Ground truth', '', painter.labels(truth)))
    for name, labels in predictions.items():
        part = box.cut(labels)
        if paired:
            scores = image_scores(labels, ground_truth, num_classes, ignore_index)
            states = error_map(part, truth, ignore_index)
            units.append(
                [
                    Panel(name, _in_words(scores), painter.labels(part)),
                    Panel(f'{name}: errors', '', painter.errors(states)),
                ]
            )
        else:
            units.append([Panel(name, '', painter.labels(part))])

    shown = [box.cut(labels) for labels in predictions.values()]
    meanings: List[Entry] = []
    if paired:
        note = f'Scores in %, over the whole image. {note}'
        meanings = [Entry('correct', colors.CORRECT), Entry('wrong', colors.WRONG)]
        if (truth == ignore_index).any():
            meanings.append(Entry('not labelled', None))
    elif differs:
        answers = count_answers(shown)
        picture = painter.disagreement(answers, len(shown))
        units.append([Panel('Where the models differ', '', picture)])
        meanings = _difference_entries(len(shown), int(answers.max()))

    label_maps = shown + ([truth] if paired else [])
    groups = [class_entries(label_maps, classes, table, ignore_index), meanings]
    overview = (image, box) if (box.width, box.height) != image.shape[1::-1] else None
    with rc_context({'font.family': families}):
        return compose(grid, units, groups, note, overview)


def save_comparison(figure: Figure, path: Union[str, Path]) -> Path:
    """Writes a figure of :func:`draw_comparison` as PNG, whole or not at all; missing folders are made.

    Args:
        figure: The figure.
        path: The file to write, ending in ``.png``.

    Returns:
        The path.

    Raises:
        ValueError: The path does not end in ``.png``.
    """
    path = Path(path)
    if path.suffix.lower() != '.png':
        raise ValueError(
            f'Comparison pictures are PNG files; the path must end in .png, found {path}.'
        )
    with write_file(path, 'wb') as stream:
        figure.savefig(stream, format='png', dpi=figure.dpi)
    return path


def _check(
    image: np.ndarray,
    predictions: Dict[str, np.ndarray],
    ground_truth: Optional[np.ndarray],
    num_classes: int,
    opacity: float,
    ignore_index: int,
) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f'The image must be a uint8 array of shape (H, W, 3); found {image.dtype} {image.shape}.'
        )
    if not predictions:
        raise ValueError('There is nothing to compare: predictions is empty.')
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity must lie between 0 and 1; found {opacity}.')
    maps = {f'The prediction of {name}': labels for name, labels in predictions.items()}
    if ground_truth is not None:
        maps['The ground truth'] = ground_truth
    for owner, labels in maps.items():
        if labels.shape != image.shape[:2]:
            raise ValueError(
                f'{owner} has shape {labels.shape}, the image {image.shape[:2]}; they must be equal.'
            )
        ids = np.unique(labels)
        if labels is ground_truth:
            ids = ids[ids != ignore_index]
        outside = ids[(ids < 0) | (ids >= num_classes)]
        if len(outside):
            raise ValueError(
                f'{owner} holds the class numbers {outside.tolist()}; with {num_classes} classes they must be '
                f'0 to {num_classes - 1}' + f', or {ignore_index} for "not labelled".'
            )


def _choose_box(
    crop: Crop,
    predictions: List[np.ndarray],
    ground_truth: Optional[np.ndarray],
    image: np.ndarray,
    ignore_index: int,
) -> Tuple[Box, str]:
    """The part of the image to show, and a note for the legend when there was nothing to choose by."""
    height, width = image.shape[:2]
    whole = Box(0, 0, width, height)
    if crop is None:
        return whole, ''
    if isinstance(crop, str):
        if crop != 'auto':
            raise ValueError(f"crop must be None, 'auto' or (x, y, width, height); found {crop!r}.")
        density = difference_density(predictions, ground_truth, ignore_index)
        if not density.any():
            return whole, 'No difference to crop to: this is the whole image.'
        return find_crop(density) or whole, ''
    box = Box(*crop)
    box.check_inside((width, height))
    return box, ''


def _difference_entries(num_models: int, most: int) -> List[Entry]:
    shades = colors.difference_colors(num_models)
    texts = ['the models agree', 'they differ']
    if num_models > 2:
        texts[1:] = [f'{count} different answers' for count in range(2, most + 1)]
    return [Entry(text, tuple(shade)) for text, shade in zip(texts, shades.tolist())]


def _in_words(scores: Scores) -> str:
    iou, accuracy = ('–' if math.isnan(value) else f'{100 * value:.1f}' for value in scores)
    return f'mIoU {iou}  acc {accuracy}'
