"""Non-maximum suppression, hard and soft, as ``mmcv.ops.nms`` calls it.

The results are those of mmcv's compiled CPU ops, box for box: same order of operations in the overlap, same strictness
of the comparison, same order of ties. The soft form is that of Bodla et al., ICCV 2017.
"""

import torch
from torch import Tensor

from .torchvision_ops import torchvision_ops

# Rows of the overlap matrix that are held at a time. Few enough for the temporaries to stay in a core's cache, many
# enough for the cost of a call not to matter.
ROWS_PER_BLOCK = 128


@torch.no_grad()
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Keep each box that no better kept box overlaps by more than the threshold.

    Args:
        boxes: ``(N, 4)`` corners ``x1, y1, x2, y2`` in pixels, of any floating type; computed in float32 at least.
        scores: ``(N,)``. Equal scores come in the order of ``torch.sort``, as in the compiled op; NaN comes first.
        iou_threshold: A box goes when its IoU is greater than this; an equal one stays, and so does one whose IoU is
            0 / 0.
        offset: 1 where ``x2`` is the last pixel that belongs to the box (MMDetection 1.x), 0 where it is the edge.

    Returns:
        ``(K,)`` int64 indices of the kept boxes by falling score.
    """
    order = scores.sort(dim=0, descending=True).indices
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))[order]
    library = torchvision_ops(boxes.device.type) if offset == 0 and len(boxes) else None
    if library is None:
        return order[nms_in_blocks(boxes, iou_threshold, offset)]
    # torchvision compares in double, mmcv in the type of the boxes: 0.6 and float32(0.6) keep different boxes. It
    # also orders ties in its own way, hence ranks for scores.
    iou_threshold = boxes.new_tensor(iou_threshold).item()
    ranks = torch.arange(len(boxes), 0, -1, dtype=boxes.dtype, device=boxes.device)
    return order[library.nms(boxes, ranks, iou_threshold)]


@torch.no_grad()
def nms_in_blocks(boxes: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """:func:`nms` of sorted boxes in plain torch, one block of the best remaining boxes after the other.

    A block is settled within itself, then what it suppresses further down is dropped, so that later blocks are
    smaller. Memory is ``ROWS_PER_BLOCK * N`` floats a few times over, never ``N * N``.

    Args:
        boxes: ``(N, 4)``, the best one first; computed in their own type.
        iou_threshold: As in :func:`nms`.
        offset: As in :func:`nms`.

    Returns:
        ``(K,)`` int64 positions of the kept boxes, rising.
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
        dets: ``(N, 5)``, filled with the boxes and their new scores, as far as boxes remain.
        iou_threshold: Overlap from which on (equal included) methods 0 and 1 act.
        sigma: Width of method 2's Gaussian.
        min_score: A box that falls below this is removed.
        method: 0 sets the score to zero, 1 scales it by ``1 - IoU``, 2 by ``exp(-IoU^2 / sigma)``.
        offset: As in :func:`nms`.

    Returns:
        ``(K,)`` int64 indices of the remaining boxes in the order of ``dets``.
    """
    boxes, scores = boxes.clone(), scores.clone()
    indices = torch.arange(len(boxes), device=boxes.device)
    rank = 0
    while rank < len(boxes):
        best = rank
        if not scores[rank].isnan():  # a NaN is never passed over: no comparison with it holds
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
    """Overlap of each of ``(M, 4)`` boxes with each of ``(N, 4)``, ``(M, N)``.

    The operations come in the order of the compiled op, so that float32 results are the same to the last bit, and
    corners in the wrong order have the (negative) areas that they have there.
    """
    x1, y1, x2, y2 = first.unsqueeze(1).unbind(-1)
    u1, v1, u2, v2 = second.unbind(-1)
    inter = torch.minimum(x2, u2).sub_(torch.maximum(x1, u1)).add_(offset).clamp_(min=0)
    inter *= torch.minimum(y2, v2).sub_(torch.maximum(y1, v1)).add_(offset).clamp_(min=0)
    first_area = (x2 - x1 + offset) * (y2 - y1 + offset)
    second_area = (u2 - u1 + offset) * (v2 - v1 + offset)
    return inter / (first_area + second_area).sub_(inter)


def _winners(suppresses: Tensor) -> Tensor:
    """Greedy choice within a block, without a loop over its boxes.

    After step ``t`` the first ``t`` entries are final (nobody before the first can suppress it, and so on), hence
    the only fixed point is the greedy result. Real boxes need a handful of steps.

    Args:
        suppresses: ``(M, M)`` strictly upper triangular, True where the row's box would suppress the column's.

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
    """Order in which the compiled op leaves the boxes: each gap is filled with the last survivor behind it.

    Args:
        survives: ``(N,)`` bool.

    Returns:
        ``(K,)`` positions of the survivors. Their order decides ties later on.
    """
    count = int(survives.sum())
    order = torch.arange(count, device=survives.device)
    gaps = ~survives[:count]
    order[gaps] = count + survives[count:].nonzero().flatten().flip(0)
    return order
