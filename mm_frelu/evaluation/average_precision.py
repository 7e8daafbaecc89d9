"""Average precision by pycocotools: of a dataset, by object size, of single images, and of given matches."""

import contextlib
from typing import Any, Dict, Hashable, List, NamedTuple, Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .boxes import Detections, TrueBoxes, as_xywh

SIZES = ('all', 'small', 'medium', 'large')
"""Object sizes of COCO: below 32 x 32 pixels, up to 96 x 96, and above."""


class AveragePrecision(NamedTuple):
    """AP of a set of images.

    Attributes:
        ap: By size, the mean over IoU 0.5 to 0.95 and classes, 0 to 1; NaN if there are no objects of that size.
        ap50: The same at IoU 0.5.
        per_class: AP of each class; NaN for a class without objects.
        per_image: AP of each class on each single image; NaN for a class without objects in the image.
    """

    ap: Dict[str, float]
    ap50: Dict[str, float]
    per_class: np.ndarray
    per_image: Dict[Hashable, np.ndarray]


def average_precision(
    truth: Dict[Hashable, TrueBoxes], detections: Dict[Hashable, Detections], num_classes: int
) -> AveragePrecision:
    """Compute AP as defined by COCO, with at most 100 detections for each image and class.

    Args:
        truth: Annotations by image.
        detections: Detections by image. An image without an entry has no detections.
        num_classes: Number of classes.

    Returns:
        The precisions.
    """
    names = list(truth)
    evaluation = COCOeval(_coco(truth, num_classes), iouType='bbox')
    evaluation.params.maxDets = [100]
    evaluation.cocoDt = _results(evaluation.cocoGt, names, detections)
    evaluation.params.imgIds = list(range(len(names)))
    evaluation.params.catIds = list(range(num_classes))
    with contextlib.redirect_stdout(None):
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval['precision'][..., 0]  # IoU, recall, class, size
    return AveragePrecision(
        {size: _mean(precision[..., index]) for index, size in enumerate(SIZES)},
        {size: _mean(precision[0, ..., index]) for index, size in enumerate(SIZES)},
        np.array([_mean(precision[:, :, number, 0]) for number in range(num_classes)]),
        _per_image(evaluation, names, num_classes),
    )


def precision_of_matches(matches: List[List[Any]], num_images: int) -> float:
    """Compute AP at one IoU from given matches.

    Args:
        matches: For each class, the dicts of its images in the format of ``COCOeval.evalImgs``: ``dtScores`` in descending
            order, ``dtMatches`` and ``dtIgnore`` of shape (1, N), ``gtIgnore`` of shape (M,).
        num_images: Number of images.

    Returns:
        Mean over the classes that have objects; NaN if there are none.
    """
    evaluation = COCOeval(iouType='bbox')
    evaluation.params.catIds = list(range(len(matches)))
    evaluation.params.imgIds = list(range(num_images))
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.params.areaRng, evaluation.params.maxDets = [[0, 1e10]], [100]
    evaluation._paramsEval = evaluation.params
    evaluation.evalImgs = [
        entry for images in matches for entry in (*images, *[None] * (num_images - len(images)))
    ]
    with contextlib.redirect_stdout(None):
        evaluation.accumulate()
    return _mean(evaluation.eval['precision'])


def _coco(truth: Dict[Hashable, TrueBoxes], num_classes: int) -> COCO:
    annotations: List[Dict[str, Any]] = []
    for image, boxes in enumerate(truth.values()):
        for box, label, crowd, area in zip(as_xywh(boxes.boxes), *boxes[1:]):
            annotations.append(
                dict(
                    id=len(annotations) + 1,  # to COCOeval, 0 means "no match"
                    image_id=image,
                    bbox=box.tolist(),
                    category_id=int(label),
                    iscrowd=int(crowd),
                    area=float(area),
                )
            )
    return _indexed(range(len(truth)), range(num_classes), annotations)


def _results(coco: COCO, names: List[Hashable], detections: Dict[Hashable, Detections]) -> COCO:
    annotations: List[Dict[str, Any]] = []
    for image, name in enumerate(names):
        if name not in detections:
            continue
        found = detections[name]
        sizes = as_xywh(found.boxes)
        for box, label, score in zip(sizes, found.labels, found.scores):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    bbox=box.tolist(),
                    category_id=int(label),
                    score=float(score),
                    area=float(box[2] * box[3]),
                    iscrowd=0,
                )
            )
    return _indexed(coco.getImgIds(), coco.getCatIds(), annotations)


def _indexed(images: Sequence[int], classes: Sequence[int], annotations: List[dict]) -> COCO:
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=image) for image in images],
        categories=[dict(id=number) for number in classes],
        annotations=annotations,
    )
    with contextlib.redirect_stdout(None):
        coco.createIndex()
    return coco


def _per_image(
    evaluation: COCOeval, names: List[Hashable], num_classes: int
) -> Dict[Hashable, np.ndarray]:
    """Compute AP by class for each single image, from the matches of all images."""
    single = COCOeval(iouType='bbox')
    single.params.maxDets, single.params.areaRng = [100], [evaluation.params.areaRng[0]]
    single.params.imgIds = [0]
    single._paramsEval = single.params
    num_images, num_sizes = len(names), len(evaluation.params.areaRng)
    scores = {}
    for image, name in enumerate(names):
        entries = {
            number: evaluation.evalImgs[number * num_sizes * num_images + image]
            for number in range(num_classes)
        }
        present = [n for n, entry in entries.items() if entry and (entry['gtIgnore'] == 0).any()]
        scores[name] = np.full(num_classes, np.nan)
        if not present:
            continue
        single.evalImgs = [entries[number] for number in present]
        single.params.catIds = list(range(len(present)))
        with contextlib.redirect_stdout(None):
            single.accumulate()
        precision = single.eval['precision']
        scores[name][present] = [_mean(precision[:, :, index]) for index in range(len(present))]
    return scores


def _mean(precision: np.ndarray) -> float:
    """Return the mean of the values that COCOeval could compute. It marks the others by -1."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float('nan')
