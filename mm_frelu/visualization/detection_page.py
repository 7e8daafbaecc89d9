"""HTML page that compares the boxes of several detectors, with scores. It uses :mod:`mm_frelu.visualization.page`."""

import importlib.resources
import json
from pathlib import Path
from typing import Dict, Hashable, List, Optional, Sequence, Union

import numpy as np

from mm_frelu.evaluation.average_precision import AveragePrecision
from mm_frelu.evaluation.boxes import Detections, TrueBoxes
from mm_frelu.evaluation.outcomes import HIT_IOU, outcomes_of

from .detection_comparison import (
    MISSED,
    MISSED_NAME,
    OUTCOME_COLORS,
    OUTCOME_NAMES,
    TRUTH,
    box_palette,
)
from .page import Layer, PageClass, PageImage, PageWriter

_LOWEST = 0.05
"""Detections below this score are left out of the page, because a detector returns hundreds of them."""

_NOTES = (
    'Outcomes: the outline of a box shows its outcome, its label has the colour of the class. The types are those of TIDE (Bolya et '
    f'al., ECCV 2020): a hit has an IoU of at least {HIT_IOU:g} with an unmatched object of its class. Missed objects are dashed.',
    'Classes: outlines have the colour of the class, too.',
    'AP of an image is the mean over the classes of its objects, and over IoU 0.5 to 0.95. It does not depend on the sliders, and '
    'boxes of other classes do not count. "All images" is AP as defined by COCO.',
)


class DetectionPage:
    """Context manager that writes the page. The file is created if the block ends without an error and has added an image.

    Args:
        path: The file to write, ending in ``.html``.
        models: Names of the models, the baseline first.
        classes: Names of the classes.
        palette: One RGB colour (0..255) for each class.
        score_thrs: Initial position of each model's slider.
        precisions: AP of each model, if there is ground truth.
        title: Title of the page; if empty, it has the names of the models.
    """

    def __init__(
        self,
        path: Union[str, Path],
        models: Sequence[str],
        classes: Sequence[str],
        palette: Optional[Sequence[Sequence[int]]] = None,
        score_thrs: Optional[Dict[str, float]] = None,
        precisions: Optional[Dict[str, AveragePrecision]] = None,
        title: str = '',
    ) -> None:
        table = box_palette(palette, len(classes))
        self.precisions = precisions
        self.page = PageWriter(
            path,
            title=title or f'Detection: {", ".join(models)}',
            models=models,
            classes=[PageClass(name, tuple(c)) for name, c in zip(classes, table.tolist())],
            painter=_painter({name: (score_thrs or {}).get(name, 0.3) for name in models}),
            truth=(TRUTH if TRUTH not in models else f'{TRUTH} (boxes)') if precisions else None,
            measure='AP',
            mean_measure='AP',
            notes=_NOTES,
        )
        for name, precision in (precisions or {}).items():
            self.page.totals[name] = (precision.ap['all'], precision.per_class.tolist())

    def __enter__(self) -> 'DetectionPage':
        self.page.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.page.__exit__(*error)

    def add(
        self,
        key: Hashable,
        name: str,
        image: np.ndarray,
        predictions: Dict[str, Detections],
        truth: Optional[TrueBoxes] = None,
    ) -> None:
        """Adds an image.

        Args:
            key: Its id in ``precisions``.
            name: Name in the list of images.
            image: RGB ``uint8`` array (H, W, 3).
            predictions: Detections of each model, by name.
            truth: The annotations.
        """
        scores, class_scores, layers = {}, {}, {}
        for model, found in predictions.items():
            layers[model] = _model_layer(found.above(_LOWEST), truth)
            if truth is not None:
                assert self.precisions is not None
                own = self.precisions[model].per_image[key]
                class_scores[model] = own.tolist()
                scores[model] = float(np.nanmean(own)) if np.isfinite(own).any() else None
        if truth is not None:
            assert self.page.truth is not None
            layers[self.page.truth] = Layer(
                dict(
                    boxes=_rounded(truth.boxes),
                    labels=truth.labels.tolist(),
                    crowd=truth.crowd.tolist(),
                )
            )
        self.page.add(PageImage(name, image, layers, scores, class_scores))


def _model_layer(found: Detections, truth: Optional[TrueBoxes]) -> Layer:
    """Create a layer of detections, sorted by score. An outcome does not depend on lower scores, so the slider only hides boxes."""
    data = dict(
        boxes=_rounded(found.boxes),
        labels=found.labels.tolist(),
        scores=found.scores.round(3).tolist(),
    )
    if truth is not None:
        outcomes = outcomes_of(found, truth)
        data.update(kinds=outcomes.kinds.tolist(), partners=outcomes.partners.tolist())
    return Layer(data)


def _rounded(boxes: np.ndarray) -> List[List[float]]:
    return boxes.round(1).tolist()


def _painter(thresholds: Dict[str, float]) -> str:
    constants = dict(
        outcomes={
            int(kind): dict(name=OUTCOME_NAMES[kind], color=color)
            for kind, color in OUTCOME_COLORS.items()
        },
        missed=dict(name=MISSED_NAME, color=MISSED),
        thresholds=thresholds,
        lowest=_LOWEST,
    )
    script = importlib.resources.files(__package__) / 'detection_page.js'
    text = json.dumps(constants, ensure_ascii=False).replace('<', '\\u003c')
    return f'const BOXES = {text};\n{script.read_text(encoding="utf-8")}'
