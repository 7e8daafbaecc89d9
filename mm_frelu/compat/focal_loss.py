r"""Focal losses of Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017 (equation 5), as mmcv calls them.

.. math::
    \mathrm{FL}(p_t) = -\alpha_t\, (1 - p_t)^\gamma \log p_t

Signatures are those of ``mmcv._ext``: results are written into a tensor that the caller gives. MMDetection uses the
sigmoid form on GPUs; on the CPU it has its own Python form, and mmcv has no compiled one.
"""

from typing import Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Loss of every class of every sample.

    It is computed from the logit by ``logsigmoid``, so that it stays exact where the compiled kernel's float32
    probability has become 0 or 1 (logits beyond about 17) and its loss jumps to 87.

    Args:
        input: ``(N, C)`` logits.
        target: ``(N,)`` int64 class of each sample; ``C`` (or a negative number) is background.
        weight: ``(C,)`` factor by the sample's class, 1 for background (which has no entry: the compiled kernel
            reads past the end there), or an empty tensor.
        output: ``(N, C)``, overwritten.
        gamma: Focusing parameter, 2 in the paper.
        alpha: Share of the positives, 0.25 in the paper.

    Raises:
        ValueError: For a target greater than ``C``.
    """
    logits = _computable(input)
    rows, classes = _positives(target, logits.size(1))
    # There is at most one positive in a row: all entries are taken as negatives first, then those few replaced.
    loss = _focal(-logits, gamma).mul_(1 - alpha)
    loss[rows, classes] = _focal(logits[rows, classes], gamma).mul_(alpha)
    output.copy_(_by_class(loss, rows, classes, weight))


@torch.no_grad()
def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of :func:`sigmoid_focal_loss_forward` by the logits.

    Args:
        input: As there.
        target: As there.
        weight: As there.
        grad_input: ``(N, C)``, overwritten.
        gamma: As there.
        alpha: As there.

    Raises:
        ValueError: For a target greater than ``C``.
    """
    logits = _computable(input)
    rows, classes = _positives(target, logits.size(1))
    slope = _focal_slope(-logits, gamma).mul_(
        alpha - 1
    )  # the inner derivative of -x turns the sign
    slope[rows, classes] = _focal_slope(logits[rows, classes], gamma).mul_(alpha)
    grad_input.copy_(_by_class(slope, rows, classes, weight))


@torch.no_grad()
def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Loss of every sample from its softmax.

    Args:
        input: ``(N, C)`` probabilities, rows adding up to 1.
        target: ``(N,)`` int64 class of each sample; a negative one has no loss.
        weight: ``(C,)`` factor by the sample's class, or an empty tensor.
        output: ``(N,)``, overwritten.
        gamma: Focusing parameter.
        alpha: Factor of all losses.

    Raises:
        ValueError: For a target of ``C`` or more.
    """
    probabilities = _computable(input)
    rows, classes = _positives(target, probabilities.size(1), highest=probabilities.size(1) - 1)
    right = probabilities[rows, classes]
    loss = (1 - right).pow_(gamma).mul_(_log(right)).mul_(-alpha)
    output.zero_()
    output[rows] = _by_class(loss, slice(None), classes, weight).to(output.dtype)


@torch.no_grad()
def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Derivative of :func:`softmax_focal_loss_forward` by the logits before the softmax.

    Args:
        input: As there.
        target: As there.
        weight: As there.
        buff: ``(N,)``, overwritten with each sample's common factor.
        grad_input: ``(N, C)``, overwritten.
        gamma: As there.
        alpha: As there.

    Raises:
        ValueError: For a target of ``C`` or more.
    """
    probabilities = _computable(input)
    rows, classes = _positives(target, probabilities.size(1), highest=probabilities.size(1) - 1)
    right = probabilities[rows, classes]
    wrong = 1 - right
    # Where right is 1 its log is 0 and so is the product; the clamp keeps 0 ** (gamma - 1) from making it NaN.
    focused = wrong.clamp(min=torch.finfo(wrong.dtype).tiny).pow_(gamma - 1)
    factor = alpha * (gamma * focused * right * _log(right) - wrong.pow(gamma))
    factor = _by_class(factor, slice(None), classes, weight)
    buff.zero_()
    buff[rows] = factor.to(buff.dtype)

    grad = -probabilities[rows] * factor[:, None]
    grad[torch.arange(len(rows), device=grad.device), classes] += factor
    grad_input.zero_()
    grad_input[rows] = grad.to(grad_input.dtype)


def _computable(values: Tensor) -> Tensor:
    """Half precision as float32: the loss's digits are lost in it otherwise."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _positives(
    target: Tensor, num_classes: int, highest: Optional[int] = None
) -> Tuple[Tensor, Tensor]:
    """Rows that belong to a class, and their classes."""
    highest = num_classes if highest is None else highest
    if target.numel() and int(target.max()) > highest:
        raise ValueError(
            f'focal loss: found class {int(target.max())} in the targets, expected 0 to {highest} for '
            f'predictions of {num_classes} classes. Check num_classes of the head against the dataset.'
        )
    rows = ((target >= 0) & (target < num_classes)).nonzero().flatten()
    return rows, target[rows]


def _by_class(
    values: Tensor, rows: Union[Tensor, slice], classes: Tensor, weight: Tensor
) -> Tensor:
    """Scale each row by the weight of its class, where there are weights."""
    if weight.numel():
        factor = weight[classes].to(values.dtype)
        values[rows] *= factor.view(-1, *[1] * (values.dim() - 1))
    return values


def _focal(logits: Tensor, gamma: float) -> Tensor:
    """``(1 - p)^gamma * -log p`` where p is the sigmoid of ``logits``."""
    return torch.sigmoid(-logits).pow_(gamma).mul_(F.logsigmoid(logits)).neg_()


def _focal_slope(logits: Tensor, gamma: float) -> Tensor:
    """Derivative of :func:`_focal`: ``(1 - p)^gamma * (gamma * p * log p - (1 - p))``."""
    wrong = torch.sigmoid(-logits)
    slope = torch.sigmoid(logits).mul_(F.logsigmoid(logits)).mul_(gamma).sub_(wrong)
    return slope.mul_(wrong.pow_(gamma))


def _log(probabilities: Tensor) -> Tensor:
    """Log with the compiled kernel's floor, the smallest normal float32."""
    return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()
