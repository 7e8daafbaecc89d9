r"""Focal losses of Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017 (equation 5), with mmcv's interface.

.. math::
    \mathrm{FL}(p_t) = -\alpha_t\, (1 - p_t)^\gamma \log p_t

Signatures are those of ``mmcv._ext``: results are written into a tensor that the caller passes. MMDetection uses the
sigmoid form on GPUs. On the CPU it uses its own Python implementation, because mmcv has no compiled one.
"""

from typing import Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the sigmoid focal loss of every class of every sample.

    It is computed from the logit with ``logsigmoid``. Therefore it is exact also for logits beyond about 17, for which the
    float32 probability of the compiled kernel is 0 or 1 and its loss jumps to 87.

    Args:
        input: ``(N, C)`` logits.
        target: ``(N,)`` int64 class of each sample; ``C`` (or a negative number) is background.
        weight: ``(C,)`` factor for each class, or an empty tensor. Background has no entry and the factor 1 (the compiled
            kernel reads beyond the end of the tensor for it).
        output: ``(N, C)``, overwritten.
        gamma: Focusing parameter, 2 in the paper.
        alpha: Share of the positives, 0.25 in the paper.

    Raises:
        ValueError: If a target is greater than ``C``.
    """
    logits = _at_least_float32(input)
    rows, classes = _positives(target, logits.size(1))
    # There is at most one positive in a row: all entries are computed as negatives first, then the positives are replaced.
    loss = _focal(-logits, gamma).mul_(1 - alpha)
    loss[rows, classes] = _focal(logits[rows, classes], gamma).mul_(alpha)
    output.copy_(_by_class(loss, rows, classes, weight))


@torch.no_grad()
def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the derivative of :func:`sigmoid_focal_loss_forward` with respect to the logits.

    Args:
        input: See :func:`sigmoid_focal_loss_forward`.
        target: See there.
        weight: See there.
        grad_input: ``(N, C)``, overwritten.
        gamma: See there.
        alpha: See there.

    Raises:
        ValueError: If a target is greater than ``C``.
    """
    logits = _at_least_float32(input)
    rows, classes = _positives(target, logits.size(1))
    slope = _focal_slope(-logits, gamma).mul_(
        alpha - 1
    )  # the inner derivative of -x changes the sign
    slope[rows, classes] = _focal_slope(logits[rows, classes], gamma).mul_(alpha)
    grad_input.copy_(_by_class(slope, rows, classes, weight))


@torch.no_grad()
def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the softmax focal loss of every sample.

    Args:
        input: ``(N, C)`` probabilities, whose rows sum to 1.
        target: ``(N,)`` int64 class of each sample; samples with a negative class have no loss.
        weight: ``(C,)`` factor for each class, or an empty tensor.
        output: ``(N,)``, overwritten.
        gamma: Focusing parameter.
        alpha: Factor of all losses.

    Raises:
        ValueError: If a target is ``C`` or greater.
    """
    probabilities = _at_least_float32(input)
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
    """Compute the derivative of :func:`softmax_focal_loss_forward` with respect to the logits before the softmax.

    Args:
        input: See :func:`softmax_focal_loss_forward`.
        target: See there.
        weight: See there.
        buff: ``(N,)``, overwritten with the common factor of each sample.
        grad_input: ``(N, C)``, overwritten.
        gamma: See there.
        alpha: See there.

    Raises:
        ValueError: If a target is ``C`` or greater.
    """
    probabilities = _at_least_float32(input)
    rows, classes = _positives(target, probabilities.size(1), highest=probabilities.size(1) - 1)
    right = probabilities[rows, classes]
    wrong = 1 - right
    # If right is 1, its log and the product are 0. The clamp prevents a NaN due to 0 ** (gamma - 1).
    focused = wrong.clamp(min=torch.finfo(wrong.dtype).tiny).pow_(gamma - 1)
    factor = alpha * (gamma * focused * right * _log(right) - wrong.pow(gamma))
    factor = _by_class(factor, slice(None), classes, weight)
    buff.zero_()
    buff[rows] = factor.to(buff.dtype)

    grad = -probabilities[rows] * factor[:, None]
    grad[torch.arange(len(rows), device=grad.device), classes] += factor
    grad_input.zero_()
    grad_input[rows] = grad.to(grad_input.dtype)


def _at_least_float32(values: Tensor) -> Tensor:
    """Convert half precision to float32, because it is not accurate enough for the loss."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _positives(
    target: Tensor, num_classes: int, highest: Optional[int] = None
) -> Tuple[Tensor, Tensor]:
    """Return the rows that belong to a class, and their classes."""
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
    """Scale each row by the weight of its class, if there are weights."""
    if weight.numel():
        factor = weight[classes].to(values.dtype)
        values[rows] *= factor.view(-1, *[1] * (values.dim() - 1))
    return values


def _focal(logits: Tensor, gamma: float) -> Tensor:
    """Compute ``(1 - p)^gamma * -log p`` where p is the sigmoid of ``logits``."""
    return torch.sigmoid(-logits).pow_(gamma).mul_(F.logsigmoid(logits)).neg_()


def _focal_slope(logits: Tensor, gamma: float) -> Tensor:
    """Compute the derivative of :func:`_focal`: ``(1 - p)^gamma * (gamma * p * log p - (1 - p))``."""
    wrong = torch.sigmoid(-logits)
    slope = torch.sigmoid(logits).mul_(F.logsigmoid(logits)).mul_(gamma).sub_(wrong)
    return slope.mul_(wrong.pow_(gamma))


def _log(probabilities: Tensor) -> Tensor:
    """Compute the log with the lower bound of the compiled kernel, the smallest normal float32."""
    return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()
