"""From MegEngine's array shapes to PyTorch's, and convolution biases into the norm behind them."""

from typing import Tuple

import numpy as np
import torch
from torch import Tensor


def to_torch_layout(array: np.ndarray, shape: Tuple[int, ...]) -> Tensor:
    """Bring an array of any MegEngine version into PyTorch's shape.

    Grouped convolutions are stored as (groups, out / groups, in / groups, kh, kw), biases of convolutions and, up to
    version 1.0, running statistics as (1, C, 1, 1). Order in memory is the same everywhere.

    Args:
        array: A float32 array.
        shape: The shape that PyTorch wants.

    Returns:
        A tensor of that shape, with its own memory.

    Raises:
        ValueError: If the array is none of the layouts of that shape.
    """
    found = array.shape
    if len(shape) == 1:
        fits = found in (shape, (1, *shape, 1, 1))
    elif len(found) == 5 and len(shape) == 4:
        fits = (found[0] * found[1], *found[2:]) == shape
    else:
        fits = found == shape
    if not fits:
        raise ValueError(f'expected {shape} or the same in a MegEngine layout, found {found}')
    return torch.from_numpy(array.reshape(shape).copy())


def absorb_bias(running_mean: Tensor, bias: Tensor) -> Tensor:
    r"""Move the bias of a convolution into the running mean of the batch norm behind it.

    .. math:: \mathrm{BN}(Wx + b;\ \mu) = \mathrm{BN}(Wx;\ \mu - b)

    That is exact in eval mode, also at the borders, because the padding comes before the bias; in training mode the
    batch's mean takes the bias out by itself, and the running mean goes on from where it is.

    Args:
        running_mean: Of the norm, shape (C,).
        bias: Of the convolution, shape (C,).

    Returns:
        The new running mean, subtracted in float64 and rounded once.
    """
    return (running_mean.double() - bias.double()).to(running_mean.dtype)
