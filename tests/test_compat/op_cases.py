"""Inputs and references that the tests of the stand-in ops share."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Dict, Optional

import numpy as np
import torch
from mmcv.utils.ext_loader import check_ops_exist
from torch import Tensor

GOLDEN = Path(__file__).parent.parent / 'data/mmcv_compiled_ops.npz'
NO_COMPILED_OPS = 'mmcv is installed without its compiled ops'


def compiled_ops() -> Optional[ModuleType]:
    """mmcv's own ops, None where the stand-in is in their place or nothing is."""
    return importlib.import_module('mmcv._ext') if check_ops_exist() else None


def golden() -> Dict[str, Tensor]:
    """Recorded results of mmcv's compiled code (make_golden.py)."""
    with np.load(GOLDEN) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def random_boxes(
    num: int, generator: torch.Generator, extent: float = 500.0, longest: float = 100.0
) -> Tensor:
    """``(num, 4)`` boxes that overlap a lot, as a detector's do before NMS."""
    corner = torch.rand(num, 2, generator=generator) * extent
    return torch.cat((corner, corner + torch.rand(num, 2, generator=generator) * longest), dim=1)


def degenerate_boxes() -> Tensor:
    """Duplicates, boxes without area, turned corners, a box in another, an infinite and a NaN one."""
    return torch.tensor(
        [
            [10.0, 10, 50, 50],
            [10, 10, 50, 50],
            [10, 10, 50, 50],
            [10, 10, 50, 30],
            [20, 20, 20, 20],
            [20, 20, 20, 20],
            [30, 10, 30, 90],
            [30, 10, 30, 90],
            [50, 50, 10, 10],
            [50, 50, 10, 10],
            [50, 10, 10, 50],
            [0, 0, 100, 100],
            [0, 0, 49, 99],
            [50, 0, 100, 50],
            [100, 0, 150, 50],
            [-20, -20, -10, -10],
            [-20, -20, -10, -11],
            [5e6, 5e6, 6e6, 6e6],
            [5e6, 5e6, 6e6, 6.1e6],
            [0, 0, float('inf'), 40],
            [0, float('nan'), 100, 100],
        ]
    )


def greedy_nms(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> Tensor:
    """NMS as its definition says, one box after the other against those kept so far, in float32."""
    order = scores.sort(dim=0, descending=True).indices.tolist()
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.numpy().astype(np.float32).T)
    zero, one, kept = np.float32(0), np.float32(offset), np.zeros(len(boxes), bool)
    result = []
    with np.errstate(all='ignore'):
        area = (x2 - x1 + one) * (y2 - y1 + one)
        for i in order:
            width = np.minimum(x2[i], x2[kept]) - np.maximum(x1[i], x1[kept]) + one
            height = np.minimum(y2[i], y2[kept]) - np.maximum(y1[i], y1[kept]) + one
            inter = np.maximum(width, zero) * np.maximum(height, zero)
            if not (inter / (area[i] + area[kept] - inter) > np.float32(threshold)).any():
                kept[i] = True
                result.append(i)
    return torch.tensor(result, dtype=torch.long)
