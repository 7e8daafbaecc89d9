"""A site by compiled loops over planes: arguments for the kernels, and what they give back.

Forward is one kernel from the terms to the activated features, backward one from the gradient of those to the gradients of
the terms.
"""

from functools import cache
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ..recompute.blocks import Results
from ..recompute.norms import BATCH, FIXED, NONE, Norm, NormTensors
from ..recompute.site import Site, SiteTensors
from .loading import array_of, call

MODES = (NONE, FIXED, BATCH)
"""As the kernels number them."""
ROWS, GRADIENTS, MOMENTS = 5, 3, 3
"""Rows of the kernels' tables for each norm."""
GAMMA, VAR = 1, 4
"""Those that are one where there is no norm."""
NORMS, TERM = 4, 2
"""Norms in the tables, and the number of the first term's: the windows' come before."""


def forward(site: Site, tensors: SiteTensors) -> Results:
    """As :func:`.recompute.torch_kernels.forward`."""
    first = tensors.terms[0][0]
    us = [u.contiguous().resolve_neg() for u, _ in tensors.terms]
    # The kernel is done with a channel of the terms before it writes the channel of the result.
    is_free = tensors.is_spare or us[0] is not first
    y = us[0] if is_free else torch.empty_like(us[0])
    steps, halo, eps, modes = _constants(site)
    table = _table(site, tensors)
    moments = np.empty((MOMENTS * NORMS, table.shape[1]), table.dtype)
    plane, sums = _sizes(y, halo)
    call(
        'forward', *_two(_arrays(us)), array_of(y), *_two(_taps(tensors)), steps, halo, site.combine == 'max',
        table, eps, modes, moments, room=len(first) * (plane + len(site.windows) * sums),
    )  # fmt: skip
    return [y], _statistics(site, moments)


def _statistics(site: Site, moments: np.ndarray) -> List[Tensor]:
    """Mean, biased and unbiased variance of each norm that takes them from the batch, the terms' first."""
    # Backward keeps some of them: as copies, lest they keep the whole table.
    return [
        torch.from_numpy(row.copy())
        for k, norm in _numbered([window.norm for window in site.windows], site.terms)
        if norm.mode == BATCH
        for row in moments[MOMENTS * k : MOMENTS * (k + 1)]
    ]


def backward(site: Site, tensors: SiteTensors, grad: Tensor) -> Results:
    """As :func:`.recompute.torch_kernels.backward`."""
    us = [u.contiguous() for u, _ in tensors.terms]
    grads = [torch.empty_like(u) for u in us]
    of_weights = [own.weight.new_empty(own.weight.shape) for own in tensors.windows]
    steps, halo, eps, modes = _constants(site)
    gradients = us[0].new_empty(GRADIENTS * NORMS, us[0].shape[1])
    images, (plane, sums) = len(us[0]), _sizes(us[0], halo)
    call(
        'backward', *_two(_arrays(us)), *_two(_taps(tensors)), steps, halo, site.combine == 'max',
        _table(site, tensors), eps, modes, array_of(grad.contiguous()), *_two(_arrays(grads)),
        *_two([array[:, 0] for array in _arrays(of_weights)]), array_of(gradients),
        room=(images + 1) * plane + (2 * images + 1) * len(site.windows) * sums,
    )  # fmt: skip
    rows = gradients.unbind()
    values: List[Optional[Tensor]] = []
    for k, (_, own) in enumerate(tensors.terms, start=TERM):
        values += _those_of(rows[GRADIENTS * k :], None, own)[1:]
    for k, (_, bias, own) in enumerate(tensors.windows):
        values += [of_weights[k], *_those_of(rows[GRADIENTS * k :], bias, own)]
    return grads, values


def _arrays(tensors: Sequence[Tensor]) -> List[np.ndarray]:
    return [array_of(tensor) for tensor in tensors]


def _two(arrays: List[np.ndarray]) -> List[np.ndarray]:
    """Without a second one, an array of no values stands for it."""
    if len(arrays) == 2:
        return arrays
    (only,) = arrays
    return [only, only[:, :0] if only.ndim == 3 else only[:0]]


def _sizes(x: Tensor, halo: np.ndarray) -> Tuple[int, int]:
    """Values of a plane with its halo, and of a window's sums over it."""
    rows, columns = x.shape[2:]
    pitch = columns + 2 * int(halo[1])
    return (rows + 2 * int(halo[0])) * pitch, (rows - 1) * pitch + columns


def _those_of(
    rows: Sequence[Tensor], bias: Optional[Tensor], norm: NormTensors
) -> List[Optional[Tensor]]:
    """Gradients of bias, scale and shift, for those that there are."""
    return [
        None if value is None else row for value, row in zip((bias, norm.gamma, norm.beta), rows)
    ]


@cache
def _constants(site: Site) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Dilation of two windows, the halo that both need, and epsilon and mode of four norms."""
    steps = [window.dilation for window in site.windows]
    halo = [max(sizes) for sizes in zip(*(window.padding for window in site.windows))]
    norms = [Norm(NONE)] * NORMS
    for k, norm in _numbered([window.norm for window in site.windows], site.terms):
        norms[k] = norm
    return (
        np.array([*steps, (1, 1)][:2]),
        np.array(halo),
        np.array([norm.eps for norm in norms]),
        np.array([MODES.index(norm.mode) for norm in norms]),
    )


def _numbered(of_windows: Sequence, of_terms: Sequence) -> List[Tuple[int, Any]]:
    """What belongs to the norms, with the number by which the kernels know each: the terms' first."""
    return [*enumerate(of_terms, start=TERM), *enumerate(of_windows)]


def _taps(tensors: SiteTensors) -> List[np.ndarray]:
    """The windows' weights, (C, rows, columns) each."""
    return [np.ascontiguousarray(array_of(own.weight)[:, 0]) for own in tensors.windows]


def _table(site: Site, tensors: SiteTensors) -> np.ndarray:
    """Bias, scale, shift, mean and variance for four norms, a row each."""
    weight = array_of(tensors.windows[0].weight)
    table = np.zeros((ROWS * NORMS, len(weight)), weight.dtype)
    table[GAMMA::ROWS] = table[VAR::ROWS] = 1
    of_windows = [
        # A batch norm takes the bias out again.
        (None if window.norm.mode == BATCH else own.bias, *own.norm)
        for window, own in zip(site.windows, tensors.windows)
    ]
    for k, values in _numbered(of_windows, [(None, *own) for _, own in tensors.terms]):
        for row, value in enumerate(values, start=ROWS * k):
            if value is not None:
                table[row] = array_of(value)
    return table
