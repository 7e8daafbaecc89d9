"""A window of the condition as arithmetic: its value, forward and once more in backward, and its gradient.

With fixed statistics the norm is folded into the window, ``T = conv(x, s * w) + t``. The correlation ``G`` of the input
with the gradient of ``T``, which the convolution's gradient is anyway, then also gives the gradient of the norm's scale:
``sum(g * conv(x, w))`` is ``sum(w * G)``, so that no pass over the features is spent on it.
"""

from typing import NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .norms import (
    BATCH,
    FIXED,
    NONE,
    Norm,
    NormTensors,
    accurate,
    norm_backward,
    normalise,
    part,
    read_norm,
    renormalise,
    scale_of,
    shift_of,
)


class Window(NamedTuple):
    """What a window does, without its tensors.

    Attributes:
        padding: Rows and columns of zeros around the input.
        dilation: Distance between the taps, in rows and columns.
        norm: The norm behind it.
        dtype: Type that the convolution computes in: that of the input, or what autocast says.
    """

    padding: Tuple[int, int]
    dilation: Tuple[int, int]
    norm: Norm
    dtype: torch.dtype


class WindowTensors(NamedTuple):
    """Weight (C, 1, kh, kw), bias (C,) or None, and the tensors of the norm."""

    weight: Tensor
    bias: Optional[Tensor]
    norm: NormTensors

    def of(self, channels: slice) -> 'WindowTensors':
        """The same for some of the channels."""
        return WindowTensors(
            self.weight[channels], part(self.bias, channels), self.norm.of(channels)
        )


def read_window(
    conv: nn.Conv2d, norm: nn.Module, dtype: torch.dtype
) -> Tuple[Window, WindowTensors]:
    """What a (convolution, norm) pair does in the mode that it is in, and its tensors."""
    plan, tensors = read_norm(norm)
    window = Window(tuple(conv.padding), tuple(conv.dilation), plan, dtype)
    return window, WindowTensors(conv.weight, conv.bias, tensors)


def condition(window: Window, tensors: WindowTensors, x: Tensor) -> Tuple[Tensor, Sequence[Tensor]]:
    """The window's value in forward.

    Returns:
        The value, in a tensor that is free to be overwritten; and mean, biased and unbiased variance of the
        convolution's output without its bias, if the norm takes them from the batch.
    """
    if window.norm.mode != BATCH:
        return condition_again(window, tensors, x)[0], ()
    # A batch norm takes the bias out again.
    z = _convolve(window, x, tensors.weight, None)
    value, statistics = normalise(window.norm, tensors.norm, z.to(accurate(z.dtype)))
    return value.to(z.dtype), statistics


def condition_again(
    window: Window, tensors: WindowTensors, x: Tensor
) -> Tuple[Tensor, Optional[Tensor]]:
    """The window's value from statistics that are known.

    Returns:
        The value, and the convolution's output if the norm is not folded into it.
    """
    norm, (weight, bias, values) = window.norm, tensors
    if norm.mode == NONE:
        return _convolve(window, x, weight, bias), None
    if _is_folded(window):
        scale = scale_of(norm, values)
        shift = shift_of(values, scale)
        shift = shift if bias is None else shift + bias * scale
        return _convolve(window, x, weight * scale.view(-1, 1, 1, 1), shift), None
    z = _convolve(window, x, weight, bias if norm.mode == FIXED else None)
    return renormalise(norm, values, z), z


def window_backward(
    window: Window, tensors: WindowTensors, x: Tensor, z: Optional[Tensor], grad: Tensor
) -> Tuple[Optional[Tensor], ...]:
    """Gradient of a window.

    Args:
        window: The window.
        tensors: Its tensors, the statistics of the batch included.
        x: Its input.
        z: What :func:`condition_again` returned beside the value.
        grad: Gradient of the value, of the type of the convolution.

    Returns:
        Gradients of the input, weight, bias, and the norm's scale and shift.
    """
    weight, bias, values = tensors
    if window.norm.mode == NONE:
        grad_x, grad_weight = _convolve_backward(window, grad, x, weight)
        return grad_x, grad_weight, None if bias is None else _sum(grad), None, None
    if _is_folded(window):
        return _folded_backward(window, tensors, x, grad)
    grad_z, grad_gamma, grad_beta = norm_backward(window.norm, values, z, grad)
    grad_x, grad_weight = _convolve_backward(window, grad_z, x, weight)
    grad_bias = None
    if bias is not None:
        # Moving all values of a channel together does not move a batch norm's output.
        grad_bias = torch.zeros_like(bias) if window.norm.mode == BATCH else _sum(grad_z)
    return grad_x, grad_weight, grad_bias, grad_gamma, grad_beta


def _folded_backward(
    window: Window, tensors: WindowTensors, x: Tensor, grad: Tensor
) -> Tuple[Optional[Tensor], ...]:
    weight, bias, values = tensors
    scale = scale_of(window.norm, values)
    taps_scale = scale.view(-1, 1, 1, 1)
    grad_x, correlation = _convolve_backward(window, grad, x, weight * taps_scale)
    total = _sum(grad)
    grad_gamma = None
    if values.gamma is not None:
        offset = -values.mean if bias is None else bias - values.mean
        invstd = torch.rsqrt(values.var + window.norm.eps)
        grad_gamma = invstd * ((weight * correlation).sum((1, 2, 3)) + offset * total)
    return (
        grad_x,
        correlation * taps_scale,
        None if bias is None else scale * total,
        grad_gamma,
        None if values.beta is None else total,
    )


def _is_folded(window: Window) -> bool:
    # In half precision the folded weight would be rounded once more than the reference's.
    return window.norm.mode == FIXED and window.dtype == accurate(window.dtype)


def _sum(values: Tensor) -> Tensor:
    return values.sum((0, 2, 3), dtype=accurate(values.dtype))


def _convolve(window: Window, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    dtype = window.dtype
    return F.conv2d(
        x.to(dtype),
        weight.to(dtype),
        None if bias is None else bias.to(dtype),
        padding=window.padding,
        dilation=window.dilation,
        groups=len(weight),
    )


def _convolve_backward(
    window: Window, grad: Tensor, x: Tensor, weight: Tensor
) -> Tuple[Tensor, Tensor]:
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad,
        x.to(window.dtype),
        weight.to(window.dtype),
        None,
        (1, 1),
        window.padding,
        window.dilation,
        False,
        (0, 0),
        len(weight),
        (True, True, False),
    )
    return grad_x, grad_weight.to(weight.dtype)
