"""Adaptive average pooling for ONNX, which has no such operator: exact for every size of the image.

Bin i of n over a length L covers the positions from floor(i L / n) to ceil((i + 1) L / n). A matrix of n rows has 1 / size of the
bin in those columns, and the pooled features are (rows) x (columns)^T. The matrices are computed from the shape by comparisons
in the graph itself, so that L may change from image to image.
"""

from contextlib import contextmanager
from typing import Any, Iterator, Sequence, Union

import torch
from torch import Tensor
from torch.nn import functional as F


def bin_matrix(length: Union[int, Tensor], bins: int) -> Tensor:
    """The averages over ``bins`` parts of a line, as a matrix.

    Args:
        length: Positions on the line.
        bins: Number of bins.

    Returns:
        Matrix of shape (bins, length), whose rows sum to 1.
    """
    start = torch.arange(bins)[:, None] * length
    position = torch.arange(length) * bins  # type: ignore[arg-type]  # takes a tensor of one number, too
    # In whole numbers and without division: ONNX rounds towards zero, torch down.
    inside = ((position < start + length) & (position + bins > start)).to(torch.float32)
    return inside / inside.sum(1, keepdim=True)


def average_bins(x: Tensor, output_size: Union[int, Sequence]) -> Tensor:
    """What :func:`torch.nn.functional.adaptive_avg_pool2d` computes, by operators that every format has.

    Args:
        x: Features of shape (N, C, H, W).
        output_size: Bins in both directions, or in each; None keeps a length.

    Returns:
        Averages of shape (N, C, *output_size).
    """
    sizes = (output_size,) * 2 if isinstance(output_size, int) else tuple(output_size)
    pooled = x.to(torch.float32)
    if sizes[0] is not None:
        pooled = bin_matrix(x.shape[-2], sizes[0]) @ pooled
    if sizes[1] is not None:
        pooled = pooled @ bin_matrix(x.shape[-1], sizes[1]).transpose(0, 1)
    return pooled.to(x.dtype)


@contextmanager
def exportable_pooling() -> Iterator[None]:
    """While this lasts, adaptive average pooling of any module is :func:`average_bins`; one bin stays ONNX's own operator."""
    original: Any = F.adaptive_avg_pool2d

    def pool(input: Tensor, output_size: Any) -> Tensor:
        if output_size in (1, (1, 1), [1, 1]):
            return original(input, output_size)
        return average_bins(input, output_size)

    F.adaptive_avg_pool2d = pool
    try:
        yield
    finally:
        F.adaptive_avg_pool2d = original
