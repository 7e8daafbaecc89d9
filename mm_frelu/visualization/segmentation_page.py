"""HTML page that compares the label maps of several models, with scores. It uses :mod:`mm_frelu.visualization.page`."""

import importlib.resources
import itertools
import json
import zlib
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Optional, Sequence, Tuple, Type, Union

import numpy as np

from . import overlay
from . import palette as colors
from .differences import (
    count_pairs,
    error_map,
    largest_confusions,
    scores_of,
    slip_radius,
)
from .page import Layer, PageClass, PageImage, PageWriter, shown_size

TRUTH = 'Ground truth'

_NOTES = (
    'Classes: each area has the colour of its class over the greyed image; outlines have the exact colour of the class.',
    'Errors: a wrong pixel has the colour of the predicted class; correct pixels show the image in pale grey. Pale orange pixels are at '
    'a boundary that is shifted by at most 0.2 % of the image diagonal: both maps have both classes there.',
    'Left against right: pixels on which the two differ, each in the colour of its own answer.',
    'mIoU of an image is the mean over the classes in its ground truth or in the prediction; a class that is only in the prediction '
    'counts as 0. "All images" counts the pixels of all images together, like the evaluation of MMSegmentation.',
)


class SegmentationPage:
    """Context manager that writes the page. The file is created if the block ends without an error and has added an image.

    Args:
        path: The file to write, ending in ``.html``.
        models: Names of the models, the baseline first.
        classes: Names of the classes.
        palette: One RGB colour (0..255) for each class.
        has_truth: Whether there is ground truth.
        ignore_index: The label that means "not labelled".
        opacity: Initial opacity of the class colours, 0 to 1.
        title: Title of the page; if empty, it has the names of the models.
    """

    def __init__(
        self,
        path: Union[str, Path],
        models: Sequence[str],
        classes: Sequence[str],
        palette: Optional[Sequence[Sequence[int]]] = None,
        has_truth: bool = False,
        ignore_index: int = 255,
        opacity: float = 0.65,
        title: str = '',
    ) -> None:
        table = colors.as_palette(palette, len(classes))
        self.num_classes, self.ignore_index = len(classes), ignore_index
        self.classes = list(classes)
        self._counts: Dict[str, np.ndarray] = {}
        self._page = PageWriter(
            path,
            title=title or f'Segmentation: {", ".join(models)}',
            models=models,
            classes=[PageClass(name, tuple(c)) for name, c in zip(classes, table.tolist())],
            painter=_painter(opacity),
            truth=_free_name(models) if has_truth else None,
            measure='IoU',
            mean_measure='mIoU',
            notes=_NOTES,
        )

    def __enter__(self) -> 'SegmentationPage':
        self._page.__enter__()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        for name, counts in self._counts.items():
            scores = scores_of(counts)
            self._page.totals[name] = (scores.mean_iou, scores.class_ious.tolist())
        self._page.__exit__(kind, error, traceback)

    def __len__(self) -> int:
        return len(self._page)

    def add(
        self,
        name: str,
        image: np.ndarray,
        predictions: Dict[str, np.ndarray],
        ground_truth: Optional[np.ndarray] = None,
    ) -> None:
        """Adds an image.

        Args:
            name: Name in the list of images.
            image: RGB ``uint8`` array (H, W, 3).
            predictions: Class ids (H, W) by model.
            ground_truth: Class ids or ``ignore_index``, (H, W).
        """
        size = shown_size(image.shape[1::-1])
        scores, class_scores, layers = {}, {}, {}
        for model, labels in predictions.items():
            remarks: List[str] = []
            if ground_truth is not None:
                counts = count_pairs(labels, ground_truth, self.num_classes, self.ignore_index)
                own = scores_of(counts)
                scores[model], class_scores[model] = own.mean_iou, own.class_ious.tolist()
                self._counts[model] = self._counts.get(model, 0) + counts
                states = error_map(labels, ground_truth, self.ignore_index)
                remarks = [
                    f'{self.classes[found.truth]} → {self.classes[found.answer]} {100 * found.share:.1f} %'
                    for found in largest_confusions(labels, ground_truth, states)
                ]
            layers[model] = self._layer(labels, size, remarks)
        if ground_truth is not None:
            assert self._page.truth is not None
            layers[self._page.truth] = self._layer(ground_truth, size)
        differences = {
            pair: float((predictions[pair[0]] != predictions[pair[1]]).mean())
            for pair in itertools.combinations(predictions, 2)
        }
        self._page.add(PageImage(name, image, layers, scores, class_scores, differences))

    def _layer(
        self, labels: np.ndarray, size: Tuple[int, int], remarks: Sequence[str] = ()
    ) -> Layer:
        """Resize labels to the page's size and compress them. The largest value of the type means "not labelled"."""
        labels = overlay.nearest_labels(labels, size)
        dtype = np.dtype('u1' if self.num_classes < 256 else '<u2')
        missing = np.iinfo(dtype).max
        labels = np.where(labels == self.ignore_index, missing, labels).astype(dtype)
        data = dict(bits=8 * dtype.itemsize, slip=slip_radius(size))
        return Layer(data, dict(labels=zlib.compress(labels.tobytes(), 6)), remarks)


def _free_name(models: Sequence[str]) -> str:
    """Return a name for the ground truth that no model has."""
    return TRUTH if TRUTH not in models else f'{TRUTH} (labels)'


def _painter(opacity: float) -> str:
    constants = dict(
        hatchDark=colors.HATCH_DARK,
        hatchLight=colors.HATCH_LIGHT,
        slip=colors.SLIP,
        faded=overlay.FADED,
        errorOpacity=overlay.ERROR_OPACITY,
        opacity=opacity,
    )
    script = importlib.resources.files(__package__) / 'segmentation_page.js'
    return f'const COLORS = {json.dumps(constants)};\n{script.read_text(encoding="utf-8")}'
