"""Adaptive average pooling for ONNX, which has no such operator. It is exact for every size of the image.

Bin i of n over a length L covers the positions from floor(i L / n) to ceil((i + 1) L / n). Row i of a matrix has the value 1 /
size of the bin in these columns. Features x are pooled as (matrix of the height) x (matrix of the width)^T. The graph computes
the matrices from the shape, so L may differ between images.
"""

from contextlib import contextmanager
from typing import Any, Iterator, Sequence, Union

import torch
from torch import Tensor
from torch.nn import functional as F


def bin_matrix(length: Union[int, Tensor], bins: int) -> Tensor:
    """Return the matrix that averages over each of ``bins`` parts of a line.

    Args:
        length: Positions on the line.
        bins: Number of bins.

    Returns:
        Matrix of shape (bins, length), whose rows sum to 1.
    """
    start = torch.arange(bins)[:, None] * length
    position = torch.arange(length) * bins  # type: ignore[arg-type]  # takes a tensor of one number, too
    # Integers without division, because ONNX rounds towards zero and torch rounds down.
    inside = ((position < start + length) & (position + bins > start)).to(torch.float32)
    return inside / inside.sum(1, keepdim=True)


def average_bins(x: Tensor, output_size: Union[int, Sequence]) -> Tensor:
    """Compute :func:`torch.nn.functional.adaptive_avg_pool2d` with operators that every format supports.

    Args:
        x: Features of shape (N, C, H, W).
        output_size: Number of bins for both directions or for each of them; None keeps the length.

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
    """Replace adaptive average pooling by :func:`average_bins`, except for a single bin, which ONNX supports."""
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
