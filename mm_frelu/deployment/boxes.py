"""Compute boxes from the outputs of a dense head, with operators that can be exported.

mmdet's post-processing branches on the number of boxes, and a trace would only record the branch of one image. This is
``BaseDenseHead.predict_by_feat`` without branches. It uses the same threshold and the same best ``nms_pre`` candidates of each
level, and gives the same boxes.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from mm_frelu.engine.errors import UserError

_OF_NMS = {'type', 'iou_threshold', 'iou_thr', 'class_agnostic', 'split_thr', 'max_num'}
_NO_LIMIT = 2**31 - 1


class Suppression(NamedTuple):
    """Settings of a head's ``test_cfg``.

    Attributes:
        score_threshold: Scores must be greater than this.
        best_of_level: Maximum number of candidates of each level; -1 removes the last one, as in mmdet.
        smallest: Width and height must be greater than this; None for no limit.
        iou_threshold: A box is suppressed if its overlap with a better box of its class is greater.
        class_agnostic: Whether boxes of different classes are suppressed, too.
        suppressed: Maximum number of boxes after NMS.
        best_of_image: Maximum number of boxes of an image; -1 removes the last one, as in mmdet.
    """

    score_threshold: float
    best_of_level: int
    smallest: Optional[float]
    iou_threshold: float
    class_agnostic: bool
    suppressed: int
    best_of_image: int


def read_suppression(head: Any) -> Suppression:
    """Read the ``test_cfg`` of a head.

    Raises:
        UserError: If the head overrides the post-processing of BaseDenseHead, or uses another kind of NMS.
    """
    name = type(head).__name__
    own = [
        method
        for method in (
            'predict',
            'predict_by_feat',
            '_predict_by_feat_single',
            '_bbox_post_process',
        )
        if getattr(type(head), method, None) is not getattr(BaseDenseHead, method)
    ]
    if own or getattr(getattr(head, 'loss_cls', None), 'custom_cls_channels', False):
        raise UserError(
            f'{name} has its own post-processing ({", ".join(own) or "custom_cls_channels"}), which cannot be exported. Use a '
            "detector with the post-processing of mmdet's BaseDenseHead, such as RetinaNet, FCOS, ATSS or SSD, or export with "
            '--part backbone.'
        )
    test_cfg = head.test_cfg
    nms: Dict[str, Any] = dict(test_cfg.nms)
    if nms.get('type', 'nms') != 'nms' or set(nms) - _OF_NMS:
        raise UserError(
            f'test_cfg.nms={nms} of {name}: ONNX supports plain NMS only. Use dict(type="nms", iou_threshold=...).'
        )
    limits = (test_cfg.max_per_img, nms.get('max_num', -1))
    smallest = test_cfg.get('min_bbox_size', -1)
    iou_threshold: Any = nms.get('iou_threshold', nms.get('iou_thr'))
    return Suppression(
        test_cfg.get('score_thr', 0),
        test_cfg.get('nms_pre', -1),
        smallest if smallest >= 0 else None,
        iou_threshold,
        nms.get('class_agnostic', False),
        min(limit if limit > 0 else _NO_LIMIT for limit in limits),
        test_cfg.max_per_img,
    )


def find_boxes(
    head: Any, outputs: Sequence[List[Tensor]], size: Tuple, settings: Suppression
) -> Tuple[Tensor, Tensor, Tensor]:
    """Compute the boxes of the first image of a batch.

    Args:
        head: A head that :func:`read_suppression` supports.
        outputs: Its outputs: scores, box deltas and, for some heads, score factors (centerness) of each level, (N, C, H, W).
        size: Height and width of the image without padding. Boxes are clipped to it.
        settings: The settings.

    Returns:
        Boxes (x1, y1, x2, y2) in pixels, of shape (K, 4); their scores and their classes, of shape (K,); best first.
    """
    levels = [[level[:1].float() for level in kind] for kind in outputs]
    shapes = [level.shape[-2:] for level in levels[0]]
    priors = head.prior_generator.grid_priors(shapes, dtype=torch.float32, device='cpu')
    candidates = [
        _candidates(head, settings, get_box_tensor(prior), *level)
        for prior, *level in zip(priors, *levels)
    ]
    kept_priors, deltas, scores, labels = (torch.cat(parts) for parts in zip(*candidates))
    boxes = get_box_tensor(head.bbox_coder.decode(kept_priors, deltas))
    if getattr(head.bbox_coder, 'clip_border', True):
        boxes = _clip(boxes, size)
    if settings.smallest is not None:
        large = ((boxes[:, 2:] - boxes[:, :2]) > settings.smallest).all(dim=1)
        boxes, scores, labels = boxes[large], scores[large], labels[large]
    apart = boxes
    if not settings.class_agnostic:
        # Like mmcv: shift boxes of different classes so that they do not overlap. The zero is needed if there are no boxes.
        step = torch.cat([boxes.reshape(-1), boxes.new_zeros(1)]).max() + 1
        apart = boxes + labels.to(boxes.dtype)[:, None] * step
    keep = suppress(apart, scores, settings.iou_threshold, settings.suppressed)
    keep = keep[: settings.best_of_image]
    return boxes[keep], scores[keep], labels[keep]


def _candidates(
    head: Any,
    settings: Suppression,
    priors: Tensor,
    cls_score: Tensor,
    deltas: Tensor,
    factor: Optional[Tensor] = None,
) -> Tuple[Tensor, ...]:
    """Return the best pairs of a prior and a class in one level."""
    logits = cls_score[0].permute(1, 2, 0).reshape(-1, head.cls_out_channels)
    scores = logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[:, :-1]
    classes = scores.shape[1]
    scores = scores.reshape(-1)
    above = torch.nonzero(scores > settings.score_threshold).reshape(-1)
    scores, order = scores[above].sort(descending=True)
    best = above[order[: settings.best_of_level]]
    scores = scores[: settings.best_of_level]
    prior = torch.div(best, classes, rounding_mode='floor')
    labels = best - prior * classes
    deltas = deltas[0].permute(1, 2, 0).reshape(-1, head.bbox_coder.encode_size)
    if factor is not None:
        scores = scores * factor[0].permute(1, 2, 0).reshape(-1).sigmoid()[prior]
    return priors[prior], deltas[prior], scores, labels


def _clip(boxes: Tensor, size: Tuple) -> Tensor:
    height, width = (torch.as_tensor(length).to(boxes) for length in size)
    largest = torch.stack([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), largest)


def greedy_nms(boxes: Tensor, scores: Tensor, iou_threshold: float, limit: int) -> Tensor:
    """Compute non-maximum suppression with a loop and operators that TorchScript can compile.

    Args:
        boxes: Boxes (x1, y1, x2, y2) of shape (K, 4).
        scores: Scores of shape (K,).
        iou_threshold: A box is removed if its overlap with a better box is greater than this.
        limit: Maximum number of boxes.

    Returns:
        Indices of the remaining boxes, best first.
    """
    order = scores.argsort(descending=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep = order[:0]
    while order.numel() > 0 and keep.numel() < limit:
        best, order = order[:1], order[1:]
        keep = torch.cat([keep, best])
        low = torch.maximum(boxes[order, :2], boxes[best, :2])
        high = torch.minimum(boxes[order, 2:], boxes[best, 2:])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        iou = overlap / (area[order] + area[best] - overlap)
        # As in mmcv, boxes without area, whose ratio is nan, are kept.
        order = order[torch.logical_not(iou > iou_threshold)]
    return keep


_scripted_nms = torch.jit.script(greedy_nms)


class _NonMaxSuppression(torch.autograd.Function):
    """:func:`greedy_nms` as a single ONNX operator. A scripted function would be exported as a loop."""

    @staticmethod
    def forward(
        ctx: Any, boxes: Tensor, scores: Tensor, iou_threshold: float, limit: int
    ) -> Tensor:
        return greedy_nms(boxes, scores, iou_threshold, limit)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, iou_threshold: float, limit: int) -> Any:
        def constant(value: Any, dtype: torch.dtype) -> Any:
            return g.op('Constant', value_t=torch.tensor(value, dtype=dtype))

        found = g.op(
            'NonMaxSuppression',
            g.op('Reshape', boxes, constant([1, -1, 4], torch.int64)),
            g.op('Reshape', scores, constant([1, 1, -1], torch.int64)),
            constant([limit], torch.int64),
            constant([iou_threshold], torch.float32),
        )
        # Rows of (image, class, box).
        return g.op('Gather', found, constant(2, torch.int64), axis_i=1)


def suppress(boxes: Tensor, scores: Tensor, iou_threshold: float, limit: int) -> Tensor:
    """Return the boxes that remain after NMS, best first. ONNX graphs use ONNX's operator, TorchScript uses a loop."""
    nms = _NonMaxSuppression.apply if torch.onnx.is_in_onnx_export() else _scripted_nms
    return nms(boxes, scores, iou_threshold, limit)
