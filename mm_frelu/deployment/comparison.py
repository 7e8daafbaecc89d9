"""Compare the outputs of an exported file with those of the model in PyTorch, from the image to the result.

The reference is computed by OpenMMLab: its data preprocessor, the forward pass of the model, its post-processing.
"""

import functools
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import cv2
import mmcv
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.structures import BaseDataElement

from mm_frelu.datasets.street_scenes.scene import draw_scene
from mm_frelu.engine.errors import UserError, first_line
from mm_frelu.engine.model_builder import forward_tensors

from .networks import flat
from .runtime import Run

Size = Tuple[int, int]
"""Height and width."""


class Tolerance(NamedTuple):
    """Allowed differences.

    Attributes:
        labels: Fraction of the pixels that must have the same label.
        relative: Maximum relative difference. For a coordinate it is relative to its value (at least one pixel), for features
            and scores to the largest value.
        boxes: Fraction of the boxes that may be missing on either side.
    """

    labels: float
    relative: float
    boxes: float


TOLERANCES = {
    'float32': Tolerance(0.9999, 1e-3, 0.0),
    'float16': Tolerance(0.99, 2e-2, 0.1),
}


class Comparison(NamedTuple):
    """Result for one picture.

    Attributes:
        size: Height and width.
        found: Description of the difference.
        agrees: Whether the difference is within the tolerance.
        empty: Whether there was nothing to compare.
    """

    size: Size
    found: str
    agrees: bool
    empty: bool = False


def sizes_to_compare(shape: Size, dynamic: bool) -> List[Size]:
    """Return the sizes of the pictures: that of the export, and other even and odd sizes if the file supports them."""
    if not dynamic:
        return [shape] * 5
    height, width = shape
    factors = ((0.5, 0.5, 0), (1.25, 0.75, 3), (0.73, 1.31, 5), (1.6, 1.1, 7))
    others = [(round(height * a) + odd, round(width * b) + odd) for a, b, odd in factors]
    # In smaller images the deepest feature map has one row, which torch.export treats as a special case.
    return [shape, *((max(a, 64), max(b, 64)) for a, b in others)]


def pictures(sizes: Sequence[Size], files: Sequence[str] = ()) -> List[np.ndarray]:
    """Return RGB ``uint8`` pictures of the given sizes: the files in turn, or drawn street scenes if there are none.

    Raises:
        UserError: If a file cannot be read.
    """
    found = []
    for index, (height, width) in enumerate(sizes):
        if files:
            file = files[index % len(files)]
            image = cv2.imread(str(file))
            if image is None:
                raise UserError(f'--images {file} cannot be read as an image.')
            image = image[..., ::-1]
        else:
            image = _scene(max(width, 64), max(height, 32), index)
        found.append(mmcv.imresize(np.ascontiguousarray(image), (width, height)))
    return found


@functools.lru_cache(maxsize=8)
def _scene(width: int, height: int, index: int) -> np.ndarray:
    return draw_scene((width, height), 0, 'val', index).image


def expected_of(model: Any, image: np.ndarray, task: str, part: str) -> Dict[str, np.ndarray]:
    """Compute the outputs of a model of OpenMMLab for a picture.

    Args:
        model: The model, in eval mode.
        image: RGB ``uint8`` array (H, W, 3).
        task: Its task.
        part: ``'model'``, ``'heads'`` or ``'backbone'``.

    Returns:
        The outputs with the names of the exported network.
    """
    pixels = torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy())  # pipelines read BGR
    size = image.shape[:2]
    metainfo = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    data = dict(inputs=[pixels], data_samples=[_sample(task, metainfo)])
    with torch.no_grad():
        if part != 'model':
            inputs = model.data_preprocessor(data, False)['inputs']
            if part == 'backbone':
                return named('features', model.backbone(inputs))
            return named('output', forward_tensors(model, inputs, task))
        if task == 'segmentation':
            model.test_cfg = ConfigDict(model.test_cfg or {}, mode='whole')
        (result,) = model.test_step(data)
    if task == 'segmentation':
        labels = result.pred_sem_seg.data.numpy()
        return dict(labels=labels, logits=result.seg_logits.data[None].numpy())
    if task == 'detection':
        found = result.pred_instances
        return dict(
            boxes=found.bboxes.numpy(), scores=found.scores.numpy(), labels=found.labels.numpy()
        )
    return dict(scores=result.pred_score[None].numpy())


def named(name: str, outputs: Any) -> Dict[str, np.ndarray]:
    """Return nested outputs with numbered names."""
    return {f'{name}{index}': value.numpy() for index, value in enumerate(flat(outputs))}


def compare(
    run: Run,
    images: Sequence[np.ndarray],
    expected: Sequence[Dict[str, np.ndarray]],
    tolerance: Tolerance,
) -> List[Comparison]:
    """Run an exported file on pictures and compare its outputs.

    Args:
        run: The file.
        images: RGB ``uint8`` arrays (H, W, 3).
        expected: For each, the result of :func:`expected_of`.
        tolerance: Allowed differences.
    """
    rows = []
    for image, wanted in zip(images, expected):
        size = image.shape[:2]
        try:
            found = run(image.transpose(2, 0, 1)[None].astype(np.float32))
        except Exception as error:  # runtimes raise different errors
            rows.append(Comparison(size, f'does not run: {first_line(error)}', False))
            continue
        rows.append(Comparison(size, *_compare(found, wanted, tolerance)))
    return rows


def _compare(found: Dict, wanted: Dict, tolerance: Tolerance) -> Tuple:
    if 'boxes' in found:
        return _compare_boxes(found, wanted, tolerance)
    if 'labels' in found:
        return _compare_labels(found['labels'], wanted['labels'], tolerance)
    if 'logits' in found and found['logits'].shape == wanted['logits'].shape:
        equal = _compare_labels(_labels(found['logits']), _labels(wanted['logits']), tolerance)
        ratio = _ratio(found['logits'], wanted['logits'])
        return f'{equal[0]}; largest difference of a logit {ratio:.1e}', equal[1]
    ratios = [_ratio(found[name], wanted[name]) for name in found]
    worst = max(ratios, key=lambda ratio: (np.isnan(ratio), ratio))
    return f'largest difference {worst:.1e} of the largest value', bool(worst <= tolerance.relative)


def _compare_labels(found: np.ndarray, wanted: np.ndarray, tolerance: Tolerance) -> Tuple:
    if found.shape != wanted.shape:
        return f'labels of shape {found.shape}, not {wanted.shape}', False
    share = float((found == wanted).mean())
    odd = int((found != wanted).sum())
    return f'labels equal on {share:.4%} of the pixels ({odd} differ)', share >= tolerance.labels


def _compare_boxes(found: Dict, wanted: Dict, tolerance: Tolerance) -> Tuple:
    """Match each box with the nearest one of its class, because boxes with nearly equal scores may change their order."""
    free = list(range(len(found['boxes'])))
    box_errors, score_errors, missing = [0.0], [0.0], 0
    for box, score, label in zip(wanted['boxes'], wanted['scores'], wanted['labels']):
        same = [index for index in free if found['labels'][index] == label]
        error = np.abs(found['boxes'][same] - box) / np.maximum(np.abs(box), 1)
        errors = error.max(axis=1, initial=0)
        if not same or errors.min() > tolerance.relative:
            missing += 1
            continue
        nearest = same[int(errors.argmin())]
        free.remove(nearest)
        box_errors.append(float(errors.min()))
        score_errors.append(abs(float(found['scores'][nearest] - score)))
    total, others = len(wanted['boxes']), len(found['boxes'])
    text = (
        f'{others} boxes of {total}, {missing} of them elsewhere; largest difference of a coordinate {max(box_errors):.1e}, '
        f'of a score {max(score_errors):.1e}'
    )
    allowed = tolerance.boxes * total
    agrees = missing <= allowed and len(free) <= allowed and max(score_errors) <= tolerance.relative
    return text, agrees, total == others == 0


def _labels(logits: np.ndarray) -> np.ndarray:
    return logits.argmax(1) if logits.shape[1] > 1 else logits > 0


def _ratio(found: np.ndarray, wanted: np.ndarray) -> float:
    if found.shape != wanted.shape:
        return float('inf')
    tiny = np.finfo(np.float32).tiny
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), tiny))


def _sample(task: str, metainfo: Dict[str, Any]) -> BaseDataElement:
    if task == 'detection':
        from mmdet.structures import DetDataSample as Sample
    elif task == 'segmentation':
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmpretrain.structures import DataSample as Sample
    return Sample(metainfo=metainfo)
