"""A site by compiled loops over planes: arguments for the kernels, and what they give back.

Forward is one kernel from the terms to the activated features, backward one from the gradient of those to the gradients of
the terms.
"""

from functools import cache
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ..recompute.blocks import Results
from ..recompute.norms import BATCH, FIXED, NONE, Norm, NormTensors
from ..recompute.site import Site, SiteTensors
from ..recompute.windows import WindowTensors
from .loading import call

MODES = (NONE, FIXED, BATCH)
"""As the kernels number them."""
ROWS, GRADIENTS, MOMENTS = 5, 3, 3
"""Rows of the kernels' tables for each norm."""
NORMS, TERM = 4, 2


def forward(site: Site, tensors: SiteTensors) -> Results:
    """As :func:`.recompute.torch_kernels.forward`."""
    us = [u.contiguous() for u, _ in tensors.terms]
    y = torch.empty_like(us[0])
    steps, halo, eps, modes = _constants(site)
    moments = y.new_empty(MOMENTS * NORMS, y.shape[1])
    plane, sums = _sizes(y, halo)
    call(
        'forward', *_two(us, _nothing_like(y)), y, *_taps(tensors.windows), steps, halo, site.combine == 'max',
        _table(site, tensors), eps, modes, moments, room=len(y) * (plane + len(site.windows) * sums),
    )  # fmt: skip
    norms = [*enumerate(site.terms, start=TERM), *enumerate(own.norm for own in site.windows)]
    statistics: List[Tensor] = []
    for k, norm in norms:
        if norm.mode == BATCH:
            mean, var, unbiased = moments[MOMENTS * k : MOMENTS * (k + 1)].unbind()
            # Backward keeps the first two: as copies, lest they keep the whole table.
            statistics += [mean.clone(), var.clone(), unbiased]
    return [y], statistics


def backward(site: Site, tensors: SiteTensors, grad: Tensor) -> Results:
    """As :func:`.recompute.torch_kernels.backward`."""
    us = [u.contiguous() for u, _ in tensors.terms]
    nothing = _nothing_like(us[0])
    grads = [torch.empty_like(u) for u in us]
    taps = _taps(tensors.windows)
    of_taps = [torch.empty_like(window) for window in taps]
    steps, halo, eps, modes = _constants(site)
    table = us[0].new_empty(GRADIENTS * NORMS, us[0].shape[1])
    images, (plane, sums) = len(us[0]), _sizes(us[0], halo)
    call(
        'backward', *_two(us, nothing), *taps, steps, halo, site.combine == 'max',
        _table(site, tensors), eps, modes, grad.contiguous(), *_two(grads, nothing), *of_taps, table,
        room=(images + 1) * plane + (2 * images + 1) * len(site.windows) * sums,
    )  # fmt: skip
    rows = table.unbind()
    values: List[Optional[Tensor]] = []
    for k, (_, own) in enumerate(tensors.terms, start=TERM):
        values += _those_of(rows[GRADIENTS * k :], None, own)[1:]
    for k, (_, bias, own) in enumerate(tensors.windows):
        values += [of_taps[k].unsqueeze(1), *_those_of(rows[GRADIENTS * k :], bias, own)]
    return grads, values


def _nothing_like(x: Tensor) -> Tensor:
    """Features without images, for a term that there is not."""
    return x.new_empty(0, *x.shape[1:])


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
    norms = [
        *_two([window.norm for window in site.windows], Norm(NONE)),
        *_two(site.terms, Norm(NONE)),
    ]
    modes = [MODES.index(norm.mode) for norm in norms]
    return (
        np.array(_two(steps, (1, 1))),
        np.array(halo),
        np.array([norm.eps for norm in norms]),
        np.array(modes),
    )


def _two(values: Sequence, nothing: object) -> List:
    return [*values, nothing][:2]


def _taps(windows: Sequence[WindowTensors]) -> List[Tensor]:
    """The windows' weights, (C, rows, columns) each; without rows for one that there is not."""
    taps = [window.weight[:, 0].contiguous() for window in windows]
    return _two(taps, taps[0].new_empty(len(taps[0]), 0, 0))


def _table(site: Site, tensors: SiteTensors) -> Tensor:
    """Bias, scale, shift, mean and variance for four norms, a row each."""
    weight = tensors.windows[0].weight
    zero, one = weight.new_zeros(len(weight)), weight.new_ones(len(weight))
    nothing = [zero, one, zero, zero, one]
    rows = []
    for window, (_, bias, own) in zip(site.windows, tensors.windows):
        # A batch norm takes the bias out again.
        rows.append([None if window.norm.mode == BATCH else bias, *own])
    rows = _two(rows, nothing)
    rows += _two([[None, *own] for _, own in tensors.terms], nothing)
    return torch.stack(
        [
            default if value is None else value
            for row in rows
            for value, default in zip(row, nothing)
        ]
    )
