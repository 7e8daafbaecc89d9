"""Non-maximum suppression, hard and soft, with the interface that ``mmcv.ops.nms`` uses.

The results are exactly those of mmcv's compiled CPU ops: the order of operations in the overlap, the strictness of the
comparison and the order of ties are the same. Soft NMS follows Bodla et al., ICCV 2017.
"""

import torch
from torch import Tensor

from .torchvision_ops import torchvision_ops

# Rows of the overlap matrix that are computed at a time: few enough to keep the temporaries in a core's cache, and many
# enough to make the overhead of a call negligible.
ROWS_PER_BLOCK = 128


@torch.no_grad()
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Keep each box unless its overlap with a kept box of a higher score exceeds the threshold.

    Args:
        boxes: ``(N, 4)`` corners ``x1, y1, x2, y2`` in pixels, of any floating point type; computed in float32 at least.
        scores: ``(N,)``. Equal scores are in the order of ``torch.sort``, as in the compiled op. NaN comes first.
        iou_threshold: A box is removed if its IoU is greater than this. It is kept if the IoU is equal or 0 / 0.
        offset: 1 if ``x2`` is the last pixel of the box (MMDetection 1.x), 0 if it is the edge.

    Returns:
        ``(K,)`` int64 indices of the kept boxes in descending order of the scores.
    """
    order = scores.sort(dim=0, descending=True).indices
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))[order]
    library = torchvision_ops(boxes.device.type) if offset == 0 and len(boxes) else None
    if library is None:
        return order[nms_in_blocks(boxes, iou_threshold, offset)]
    # torchvision compares in double, mmcv in the type of the boxes: 0.6 and float32(0.6) keep different boxes. It also
    # orders ties differently, so ranks are passed instead of scores.
    iou_threshold = boxes.new_tensor(iou_threshold).item()
    ranks = torch.arange(len(boxes), 0, -1, dtype=boxes.dtype, device=boxes.device)
    return order[library.nms(boxes, ranks, iou_threshold)]


@torch.no_grad()
def nms_in_blocks(boxes: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Compute :func:`nms` of sorted boxes in plain torch, in blocks of the best remaining boxes.

    Suppression is first computed within a block. Then the remaining boxes that the block suppresses are removed, so that
    later blocks are smaller. The memory is a small multiple of ``ROWS_PER_BLOCK * N`` floats, not ``N * N``.

    Args:
        boxes: ``(N, 4)``, the best one first; computed in their own type.
        iou_threshold: See :func:`nms`.
        offset: See :func:`nms`.

    Returns:
        ``(K,)`` int64 positions of the kept boxes, ascending.
    """
    order = torch.arange(len(boxes), device=boxes.device)
    kept = [order[:0]]
    while len(order):
        block, rest = boxes[:ROWS_PER_BLOCK], boxes[ROWS_PER_BLOCK:]
        winners = _winners((_iou(block, block, offset) > iou_threshold).triu_(diagonal=1))
        kept.append(order[:ROWS_PER_BLOCK][winners])
        remain = ~(_iou(block[winners], rest, offset) > iou_threshold).any(dim=0)
        boxes, order = rest[remain], order[ROWS_PER_BLOCK:][remain]
    return torch.cat(kept)


@torch.no_grad()
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the score of overlapping boxes instead of removing them.

    Args:
        boxes: ``(N, 4)`` corners in pixels, on the CPU as mmcv passes them.
        scores: ``(N,)``.
        dets: ``(N, 5)``. The first rows are overwritten with the remaining boxes and their new scores.
        iou_threshold: Smallest overlap at which methods 0 and 1 change a score.
        sigma: Width of the Gaussian of method 2.
        min_score: Boxes with a lower score are removed.
        method: 0 sets the score to zero, 1 scales it by ``1 - IoU``, 2 by ``exp(-IoU^2 / sigma)``.
        offset: See :func:`nms`.

    Returns:
        ``(K,)`` int64 indices of the remaining boxes in the order of ``dets``.
    """
    boxes, scores = boxes.clone(), scores.clone()
    indices = torch.arange(len(boxes), device=boxes.device)
    rank = 0
    while rank < len(boxes):
        best = rank
        if not scores[
            rank
        ].isnan():  # every comparison with NaN is false, so a NaN is never skipped
            best += int(scores[rank:].nan_to_num(nan=-torch.inf).argmax())
        for values in (boxes, scores, indices):
            values[[rank, best]] = values[[best, rank]]
        dets[rank, :4], dets[rank, 4] = boxes[rank], scores[rank]

        overlap = _iou(boxes[rank : rank + 1], boxes[rank + 1 :], offset)[0]
        if method == 2:
            weight = torch.exp(-(overlap * overlap) / sigma)
        else:
            weight = torch.ones_like(overlap)
            over = overlap >= iou_threshold
            weight[over] = 0 if method == 0 else 1 - overlap[over]
        scores[rank + 1 :] *= weight

        survives = torch.ones_like(scores, dtype=torch.bool)
        survives[rank + 1 :] = ~(scores[rank + 1 :] < min_score)
        order = _closed_up(survives)
        boxes, scores, indices = boxes[order], scores[order], indices[order]
        rank += 1
    return indices


def _iou(first: Tensor, second: Tensor, offset: int) -> Tensor:
    """Compute the overlap of each of ``(M, 4)`` boxes with each of ``(N, 4)`` boxes, ``(M, N)``.

    The order of the operations is that of the compiled op. Therefore float32 results are identical, and boxes with corners
    in the wrong order have the same (negative) areas.
    """
    x1, y1, x2, y2 = first.unsqueeze(1).unbind(-1)
    u1, v1, u2, v2 = second.unbind(-1)
    inter = torch.minimum(x2, u2).sub_(torch.maximum(x1, u1)).add_(offset).clamp_(min=0)
    inter *= torch.minimum(y2, v2).sub_(torch.maximum(y1, v1)).add_(offset).clamp_(min=0)
    first_area = (x2 - x1 + offset) * (y2 - y1 + offset)
    second_area = (u2 - u1 + offset) * (v2 - v1 + offset)
    return inter / (first_area + second_area).sub_(inter)


def _winners(suppresses: Tensor) -> Tensor:
    """Compute the greedy result within a block, without a loop over its boxes.

    After step ``t`` the first ``t`` entries are final: no box can suppress the first one, only the first can suppress the
    second, and so on. Therefore the only fixed point is the greedy result. Real boxes need a few steps.

    Args:
        suppresses: ``(M, M)`` strictly upper triangular, True if the box of the row would suppress that of the column.

    Returns:
        ``(M,)`` True for the kept boxes.
    """
    keep = torch.ones_like(suppresses[0])
    while True:
        settled = ~(suppresses & keep[:, None]).any(dim=0)
        if torch.equal(settled, keep):
            return keep
        keep = settled


def _closed_up(survives: Tensor) -> Tensor:
    """Return the order in which the compiled op leaves the boxes: each gap is filled with the last survivor after it.

    Args:
        survives: ``(N,)`` bool.

    Returns:
        ``(K,)`` positions of the survivors. Their order decides later ties.
    """
    count = int(survives.sum())
    order = torch.arange(count, device=survives.device)
    gaps = ~survives[:count]
    order[gaps] = count + survives[count:].nonzero().flatten().flip(0)
    return order
