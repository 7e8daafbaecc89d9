"""Convert MegEngine's array shapes to PyTorch's, and absorb biases of convolutions into the following norm."""

from typing import Tuple

import numpy as np
import torch
from torch import Tensor


def to_torch_layout(array: np.ndarray, shape: Tuple[int, ...]) -> Tensor:
    """Convert an array of any MegEngine version to PyTorch's shape.

    MegEngine stores the weights of grouped convolutions as (groups, out / groups, in / groups, kh, kw). Biases of
    convolutions and, up to version 1.0, running statistics have the shape (1, C, 1, 1). The order in memory is the same.

    Args:
        array: A float32 array.
        shape: The shape in PyTorch.

    Returns:
        A tensor of that shape, with its own memory.

    Raises:
        ValueError: If the array does not have one of the layouts of that shape.
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
    r"""Move the bias of a convolution into the running mean of the following batch norm.

    .. math:: \mathrm{BN}(Wx + b;\ \mu) = \mathrm{BN}(Wx;\ \mu - b)

    This is exact in eval mode, also at the borders, because the input is padded before the bias is added. In training mode
    the mean of the batch cancels the bias, and the running mean is updated from its new value.

    Args:
        running_mean: Running mean of the norm, of shape (C,).
        bias: Bias of the convolution, of shape (C,).

    Returns:
        The new running mean, computed in float64 and rounded once.
    """
    return (running_mean.double() - bias.double()).to(running_mean.dtype)
