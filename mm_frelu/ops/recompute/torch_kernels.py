"""A site by torch's own operators, forward and the gradient by hand, a block of channels at a time. Any device."""

from functools import reduce
from typing import Any, List, Sequence, Tuple

import torch
from torch import Tensor

from ..eager import COMBINE
from ..implementation import is_compiling
from .blocks import Results, channel_blocks, in_blocks
from .norms import group_in
from .site import Site, SiteTensors
from .terms import sum_of_terms, sum_of_terms_again, terms_backward
from .windows import condition, condition_again, window_backward


def forward(site: Site, tensors: SiteTensors) -> Results:
    """Activated features, and mean, biased and unbiased variance of each norm that takes them from the batch."""
    return _by_blocks(site, tensors, lambda channels: _forward(site, tensors.of(channels)))


def backward(site: Site, tensors: SiteTensors, grad: Tensor) -> Results:
    """Gradients of the terms; then of the tensors of their norms, and of those of the windows.

    Args:
        site: The site.
        tensors: Its tensors, with the statistics of the batch.
        grad: Gradient of the activated features.
    """

    def compute(channels: slice) -> Results:
        return _backward(site, tensors.of(channels), grad[:, channels])

    return _by_blocks(site, tensors, compute)


def _by_blocks(site: Site, tensors: SiteTensors, compute: Any) -> Results:
    u = tensors.terms[0][0]
    return in_blocks(channel_blocks(u, whole=group_in(site.norms)), u, compute)


def _forward(site: Site, tensors: SiteTensors) -> Results:
    x, statistics = sum_of_terms(site, tensors)
    conditions = []
    for window, window_tensors in zip(site.windows, tensors.windows):
        value, own = condition(window, window_tensors, x)
        conditions.append(value)
        statistics += own
    highest = reduce(COMBINE[site.combine], conditions)
    # A compiler finds room for the result itself, and torch.export knows no gradient of an operator with out=.
    if highest.dtype == x.dtype and not is_compiling():
        return [torch.maximum(x, highest, out=highest)], statistics
    return [torch.maximum(x, highest)], statistics


def _backward(site: Site, tensors: SiteTensors, grad: Tensor) -> Results:
    """Gradients of the terms; then of the tensors of their norms, and of those of the windows."""
    x = sum_of_terms_again(site, tensors)
    again = [condition_again(window, own, x) for window, own in zip(site.windows, tensors.windows)]
    grad_condition, grads_of_windows = _share_out([value for value, _ in again], site, x, grad)
    grad_x, window_values = None, []
    for window, own, (_, z), part in zip(site.windows, tensors.windows, again, grads_of_windows):
        through, *others = window_backward(window, own, x, z, part.to(window.dtype))
        grad_x = through.to(x.dtype) if grad_x is None else grad_x.add_(through)
        window_values += others
    grad_x.add_(torch.sub(grad, grad_condition))
    features, term_values = terms_backward(site, tensors, grad_x)
    return features, [*term_values, *window_values]


def _share_out(
    conditions: Sequence[Tensor], site: Site, x: Tensor, grad: Tensor
) -> Tuple[Tensor, List[Tensor]]:
    """The part of the gradient that goes to the condition, and each window's part of that."""
    highest = [conditions[0]]
    for value in conditions[1:]:
        highest.append(COMBINE[site.combine](highest[-1], value))
    share = rest = _share_of_first(highest[-1], x, grad)
    if site.combine == 'sum':
        return share, [share] * len(conditions)
    parts = []
    for value, others in zip(conditions[:0:-1], highest[-2::-1]):
        parts.append(_share_of_first(value, others, rest))
        rest = rest - parts[-1]
    return share, [rest, *parts[::-1]]


def _share_of_first(first: Tensor, second: Tensor, grad: Tensor) -> Tensor:
    """Gradient of ``maximum(first, second)`` that the first gets: all, none, or half where they are equal."""
    return torch.sub(first, second).sign_().add_(1).mul_(grad).mul_(0.5)
