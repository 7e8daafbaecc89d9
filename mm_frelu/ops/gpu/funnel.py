"""Run the funnel activation with the kernels of :mod:`.funnel_kernels`: order of the kernels, and their arguments."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ..autograd import Outputs, Plan
from ..spec import (
    BATCH,
    BRANCH_LENGTH,
    FIXED,
    NONE,
    FunnelSpec,
    Norm,
    NormTensors,
    Row,
    move_running,
)
from ..synchronise import merge_means, merge_moments
from . import funnel_kernels as kernels
from .geometry import divide
from .launch import (
    INTERPRETED,
    Launch,
    constants,
    device_of,
    laid_out_as,
    multiprocessors,
    wide,
)

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_KERNEL_SIZE = 7
CHANNELS = 8
"""Channels of a program that adds up parts."""
NORM_POSITIONS = 2048


def unsupported_reason(spec: FunnelSpec, row: Row) -> Optional[str]:
    """Return why the kernels do not support a specification, or None if they do."""
    for tensor in row[: BRANCH_LENGTH * len(spec.branches) : BRANCH_LENGTH]:
        if tensor.dtype not in DTYPES:
            return f'the input is {tensor.dtype}, but the kernels support float32, float16 and bfloat16'
    x = row[0]
    if x.numel() == 0:
        return 'the input is empty'
    if max(x[0].numel(), x[:, 0].numel()) >= 2**31:
        return 'one image or one channel has 2**31 values or more'
    sizes = [window.kernel_size for window in spec.windows]
    size = max(max(shape) for shape in sizes)
    if size > MAX_KERNEL_SIZE:
        return f'a window of {size} is larger than {MAX_KERNEL_SIZE}'
    if sizes not in ([(size, size)], [(1, size), (size, 1)]):
        return 'the windows are neither one square nor a row and a column'
    if any(window.dilation != (1, 1) for window in spec.windows):
        return 'a window is dilated'
    features = range(0, BRANCH_LENGTH * len(spec.branches), BRANCH_LENGTH)
    others = (row[index] for index in range(len(row)) if index not in features)
    if not all(tensor is None or tensor.is_contiguous() for tensor in others):
        return 'a parameter has gaps in memory'
    if len({(window.norm.mode, window.norm.group) for window in spec.windows}) > 1:
        return 'the norms of the windows differ in kind'
    return _unsupported_branches(spec, row)


def _unsupported_branches(spec: FunnelSpec, row: Row) -> Optional[str]:
    modes = {norm.mode for norm in spec.branches}
    if len(spec.branches) > 2:
        return f'{len(spec.branches)} branches are added before it'
    if len(modes - {NONE}) > 1:
        return 'the norms of the branches differ in kind'
    orders = {_is_channels_last(row[BRANCH_LENGTH * index]) for index in range(len(spec.branches))}
    return 'the branches differ in memory format' if len(orders) > 1 else None


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class TritonFunnelPlan(Plan):
    """Plan with the kernels for one specification and one kind of input.

    A training step runs seven kernels: moments, their total, the activation; sums for the gradient, their total, the gradient, its
    totals. A norm over the batch before the activation needs two more kernels for its moments and one for its gradient. Compiled
    kernels get addresses instead of tensors, which takes less host time.

    Args:
        spec: The specification.
        row: Tensors of that kind.
    """

    def __init__(self, spec: FunnelSpec, row: Row) -> None:
        super().__init__(spec)
        x = row[0]
        self.channels = x.shape[1]
        self.count = x.numel() // x.shape[1]
        self.zeros, self.ones = constants(x.device, self.channels)
        self.channels_last = _is_channels_last(x)
        # A branch with a norm comes first, because the kernels support a norm of the first branch or of both.
        order = sorted(range(len(spec.branches)), key=lambda k: spec.branches[k].mode == NONE)
        starts = spec.norm_starts()
        found = [2 * sum(norm.mode == BATCH for norm in spec.norms[:k]) for k in range(len(starts))]
        self.branches = [_Place(spec.branches[k], starts[k], found[k]) for k in order]
        self.windows = [
            _Place(window.norm, starts[k], found[k])
            for k, window in enumerate(spec.windows, start=len(order))
        ]
        self.batch = self.windows[0].norm.mode == BATCH
        self.two = len(order) == 2
        self.scaled = self.branches[0].norm.mode == FIXED
        places = [place.start + step for place in self.branches for step in (0, 1)]
        places += [place.start + step for place in self.windows for step in (-2, -1, 0, 1)]
        self.per_channel = [index for index in places if row[index] is not None]
        self.is_compiled = {'forward': False, 'backward': False}
        self._set_launches(x)

    def _set_launches(self, x: Tensor) -> None:
        size = max(self.spec.windows[0].kernel_size)
        light = 0 if len(self.windows) == 1 else (1 if self.spec.combine == 'sum' else 2)
        # The sum of two branches is computed like a sum of norms.
        normed = self.two or self.branches[0].norm.mode != NONE
        kind = x.shape, x.dtype, self.channels_last, size
        cut = self.cut = divide(*kind, False, multiprocessors(x.device))
        form = kernels.Form(size, light, normed, self.two)
        alone = kernels.Form(1, light=0, normed=False, two=False)
        both: Dict[str, Any] = dict(form=form, tile=cut.tile)
        grid: Tuple[int, ...] = (cut.programs,)
        self.moments = Launch(kernels.moments_kernel, grid, ('u', 'v'), **both)
        self.measure = Launch(kernels.moments_kernel, grid, ('u', 'v'), form=alone, tile=cut.tile)
        self.activate = Launch(kernels.activate_kernel, grid, ('u', 'v', 'y'), **both)
        self.sums = Launch(kernels.sums_kernel, grid, ('u', 'v', 'grad'), **both)
        few = (-(-self.channels // CHANNELS),)
        adds: Dict[str, Any] = dict(CHANNELS=CHANNELS, PARTS=32 if cut.parts <= 32 else 128)
        for place in (*self.branches, *self.windows):
            count = 3 if place in self.branches else 3 * len(self.windows)
            cumulative = place.norm.momentum is None
            place.finish_moments = Launch(
                kernels.finish_moments_kernel, few, COUNT=count, CUMULATIVE=cumulative, **adds
            )
            place.finish_sums = Launch(
                kernels.finish_sums_kernel, few, COUNT=2 * len(self.windows), **adds
            )
        cut = self.gradient_cut = divide(*kind, True, multiprocessors(x.device))
        names: Tuple[str, ...] = ('u', 'v', 'grad', 'du', 'dv')
        values = form.taps + (0 if self.batch else 2 * form.windows)
        self.numbers = values + normed * (2 + self.two)
        both = dict(BATCH=self.batch, VALUES=values, COUNT=self.numbers, form=form)
        self.gradient = Launch(
            kernels.gradient_kernel,
            (cut.programs,),
            names,
            SCALED=self.scaled,
            tile=cut.tile,
            **both,
        )
        both.update(CHANNELS=CHANNELS, PARTS=32 if cut.parts <= 32 else 128)
        self.finish_gradient = Launch(kernels.finish_gradient_kernel, (*few, self.numbers), **both)
        n, c, h, w = x.shape
        grid, tile = (n * c, -(-h * w // NORM_POSITIONS)), dict(A=1, D=NORM_POSITIONS)
        if self.channels_last:
            grid, tile = (-(-n * h * w // 16), -(-c // 128)), dict(A=16, D=128)
        names = ('dx', 'u', 'v', 'du', 'dv')
        self.norms = Launch(kernels.norms_kernel, grid, names, LAST=self.channels_last, **tile)

    def forward(
        self, row: Row, may_overwrite: bool = False, moves_running_statistics: bool = True
    ) -> Tuple[Outputs, List[Tensor]]:
        """See :meth:`.Plan.forward`. The input is not overwritten, because programs read neighbouring pixels."""
        with device_of(row[0]):
            result = self._forward(row, _Call(self, 'forward'), moves_running_statistics)
        self.is_compiled['forward'] = not INTERPRETED
        return result

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> List[Optional[Tensor]]:
        """See :meth:`.Plan.backward`."""
        with device_of(row[0]):
            result = self._backward(row, grads[0], _Call(self, 'backward'))
        self.is_compiled['backward'] = not INTERPRETED
        return result

    # --- forward -------------------------------------------------------------------------------------------------------

    def _forward(self, row: Row, call: '_Call', moves: bool) -> Tuple[Outputs, List[Tensor]]:
        c, cut = self.channels, self.cut
        branches = [wide(row[place.start - 1]) for place in self.branches]
        u = branches[0]
        y = torch.empty_like(u)
        features = [call.at(branch) for branch in branches] + [None] * (not self.two)
        statistics: List[Tensor] = []
        parts = None
        if self.spec.statistics:
            statistics += u.new_empty((self.spec.statistics, c), dtype=torch.float32).unbind()
            partials = u.new_empty(3 * len(self.windows) * cut.parts * c, dtype=torch.float32)
            parts = call.at(partials)
        moved: List[Tensor] = []
        for place, branch in zip(self.branches, features):
            if place.norm.mode == BATCH:
                ones = call.at(self.ones)
                call(
                    self.measure,
                    branch,
                    None,
                    parts,
                    ones,
                    None,
                    *call.no_norm,
                    *call.no_norm,
                    *cut.sizes,
                )
                moved += self._finish(place, row, call, parts, 0, None, statistics, moves)
        norms = self._branch_norms(row, call, statistics)
        weights = self._weights(row, call)
        if self.batch:
            call(self.moments, *features, parts, *weights, *norms, *cut.sizes)
            for index, place in enumerate(self.windows):
                bias = row[place.start - 1]
                moved += self._finish(place, row, call, parts, 3 * index, bias, statistics, moves)
        conditions = self._conditions(row, call, statistics)
        call(self.activate, *features, call.at(y), *weights, *norms, *conditions, *cut.sizes)
        for tensor in moved:  # one at a time, because older torch versions take no list
            torch.autograd.graph.increment_version(tensor)
        return (y,), statistics

    def _finish(
        self, place: '_Place', row: Row, call: '_Call', parts: Any, first: int, bias: Optional[Tensor],
        statistics: Sequence[Tensor], moves: bool,
    ) -> List[Tensor]:  # fmt: skip
        """Compute mean and variance from their parts, update the running statistics, and return those that were updated."""
        norm = place.norm
        mean, var = statistics[place.found : place.found + 2]
        to = call.at(mean), call.at(var)
        running = row[place.start + 2 : place.start + 5] if moves else (None, None, None)
        sizes = self.channels, self.cut.parts, first
        if norm.group is not None:
            call(place.finish_moments, parts, *to, None, None, None, None, 0.0, *sizes)
            *joint, total = merge_moments(mean, var, self.count, norm.group)
            torch._foreach_copy_([mean, var], joint)
            if moves:
                own = NormTensors(*row[place.start : place.start + 5])
                move_running(norm, own, mean, var, total, bias)
            return []
        momentum = norm.momentum
        if momentum is None:
            momentum = 0.0
            if running[2] is not None:
                running[2].add_(1)  # all programs read the count, so none may change it
        to_bias = None if running[0] is None or bias is None else call.at(bias)
        moving = [None if tensor is None else call.at(tensor) for tensor in running]
        call(place.finish_moments, parts, *to, *moving, to_bias, float(momentum), *sizes)
        return [tensor for tensor in running if tensor is not None]

    # --- arguments of the kernels for norms and windows ----------------------------------------------------------------

    def _norm(
        self, place: '_Place', row: Row, call: '_Call', statistics: Sequence[Tensor]
    ) -> Tuple:
        """Return mean, variance, scale, shift and epsilon of a norm, or those of the identity for a missing norm."""
        norm, start = place.norm, place.start
        if norm.mode == NONE:
            return call.no_norm
        mean, var = row[start + 2 : start + 4]
        if statistics and norm.mode == BATCH:
            mean, var = statistics[place.found : place.found + 2]
        gamma = self.ones if row[start] is None else row[start]
        beta = self.zeros if row[start + 1] is None else row[start + 1]
        return call.at(mean), call.at(var), call.at(gamma), call.at(beta), float(norm.eps)

    def _branch_norms(self, row: Row, call: '_Call', statistics: Sequence[Tensor] = ()) -> Tuple:
        first = self._norm(self.branches[0], row, call, statistics)
        second = self._norm(self.branches[1], row, call, statistics) if self.two else call.no_norm
        return (*first, *second)

    def _conditions(self, row: Row, call: '_Call', statistics: Sequence[Tensor] = ()) -> List[Any]:
        """Return mean, variance, scale, shift, bias and epsilon for both windows."""
        numbers: List[Any] = []
        for place in self.windows:
            *values, eps = self._norm(place, row, call, statistics)
            bias = row[place.start - 1]
            # A batch norm cancels the bias.
            bias = self.zeros if bias is None or self.batch else bias
            numbers += (*values, call.at(bias), eps)
        if len(self.windows) == 1:
            *values, eps = call.no_norm
            numbers += (*values, call.at(self.zeros), eps)
        return numbers

    def _weights(self, row: Row, call: '_Call') -> List[Any]:
        weights = [call.at(row[place.start - 2]) for place in self.windows]
        return weights if len(weights) == 2 else [*weights, None]

    # --- backward ------------------------------------------------------------------------------------------------------

    def _backward(self, row: Row, grad: Tensor, call: '_Call') -> List[Optional[Tensor]]:
        c, cut = self.channels, self.gradient_cut
        branches = [wide(row[place.start - 1]) for place in self.branches]
        u = branches[0]
        grad = laid_out_as(u, grad)
        norms = self._branch_norms(row, call)
        weights, conditions = self._weights(row, call), self._conditions(row, call)
        features = (
            [call.at(branch) for branch in branches] + [None] * (not self.two) + [call.at(grad)]
        )
        # All gradients are computed, wanted or not, because kernels are compiled for the tensors that exist.
        found: List[Any] = [None] * len(row)
        for index in self.per_channel:
            found[index] = torch.empty_like(row[index])
        # The workspace: parts of the gradients; means that the batch norms of the branches subtract; the same for the windows;
        # and the parts of the latter.
        ends = self.numbers * cut.parts * c
        ends = ends, ends + 3 * c, ends + 3 * c + 2 * len(self.windows) * c
        parts_of_sums = 2 * len(self.windows) * self.cut.parts * c if self.batch else 0
        workspace = u.new_empty(ends[2] + parts_of_sums, dtype=torch.float32)
        means: List[Any] = [None, None]
        if self.batch:
            means = self._means(found, call, workspace, ends, features, weights, norms, conditions)
        du = torch.empty_like(u)
        dv = torch.empty_like(u) if self.scaled and self.two else None
        parts, to_du = call.at(workspace), call.at(du)
        to_dv = None if dv is None else call.at(dv)
        call(
            self.gradient,
            *features,
            to_du,
            to_dv,
            parts,
            *means,
            *weights,
            *norms,
            *conditions,
            *cut.sizes,
        )
        taken = (
            workspace[ends[0] : ends[1]].view(3, c) if self.branches[0].norm.mode == BATCH else None
        )
        taken = self._finish_backward(found, call, parts, norms, conditions, taken)
        if not self.scaled:
            du, dv = self._through_norms(branches, du, taken, norms, call)
        for place, gradient in zip(self.branches, (du, dv)):
            found[place.start - 1] = gradient
        return found

    def _means(
        self, found: Sequence[Optional[Tensor]], call: '_Call', workspace: Tensor, ends: Sequence[int], features: Sequence,
        weights: Sequence, norms: Sequence, conditions: Sequence,
    ) -> List[Any]:  # fmt: skip
        """Compute the means that the windows' batch norms subtract, and store gradients of scale and shift in ``found``."""
        c, cut = self.channels, self.cut
        parts = call.piece(workspace, ends[2])
        call(self.sums, *features, parts, *weights, *norms, *conditions, *cut.sizes)
        means: List[Any] = []
        for index, place in enumerate(self.windows):
            start = ends[1] + 2 * index * c
            means.append(call.piece(workspace, start))
            to = [None if t is None else call.at(t) for t in found[place.start : place.start + 2]]
            call(
                place.finish_sums, parts, means[-1], *to, conditions[6 * index + 1], float(place.norm.eps),
                float(self.count), c, cut.parts, 2 * index,
            )  # fmt: skip
            if place.norm.group is not None:
                own = workspace[start : start + 2 * c].view(2, c)
                own.copy_(merge_means(own, self.count, place.norm.group))
        return means if len(means) == 2 else [*means, None]

    def _finish_backward(
        self, found: List[Any], call: '_Call', parts: Any, norms: Sequence, conditions: Sequence,
        means: Optional[Tensor],
    ) -> Optional[Tensor]:  # fmt: skip
        """Compute the gradients of all values per channel, and the means that the branches' batch norms subtract."""
        weights: List[Any] = []
        of_windows: List[Any] = []
        for place in self.windows:
            start = place.start
            weights.append(call.at(found[start - 2]))
            own = [None, None] if self.batch else found[start : start + 2]
            of_windows += [None if t is None else call.at(t) for t in (*own, found[start - 1])]
        missing = 2 - len(weights)
        of_branches = []
        for place, first in zip(self.branches, (0, 5)):
            own = found[place.start : place.start + 2]
            of_branches += [None if t is None else call.at(t) for t in own]
            of_branches += [norms[first + 1], norms[first + 4]]
        if not self.two:
            of_branches += [None, None, norms[6], norms[9]]
        call(
            self.finish_gradient, parts, *weights, *[None] * missing, *of_windows, *[None] * (3 * missing),
            conditions[1], conditions[2], conditions[5], conditions[7], conditions[8], conditions[11],
            *of_branches, None if means is None else call.at(means), float(self.count), self.channels,
            self.gradient_cut.parts,
        )  # fmt: skip
        group = self.branches[0].norm.group
        return means if means is None or group is None else merge_means(means, self.count, group)

    def _through_norms(
        self,
        branches: Sequence[Tensor],
        dx: Tensor,
        means: Optional[Tensor],
        norms: Sequence,
        call: '_Call',
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute the gradients of the branches from that of x."""
        if means is None:
            return dx, dx
        is_shortcut = self.two and self.branches[1].norm.mode == NONE
        du = torch.empty_like(dx) if is_shortcut else dx
        dv = torch.empty_like(dx) if self.two and not is_shortcut else None
        second = [None, None] if dv is None else [call.at(branches[1]), call.at(dv)]
        positions = self.count if self.channels_last else self.count // dx.shape[0]
        call(
            self.norms, call.at(dx), call.at(branches[0]), second[0], call.at(du), second[1], call.at(means),
            norms[0], norms[1], norms[2], norms[4], norms[5], norms[6], norms[7], norms[9], self.channels, positions,
        )  # fmt: skip
        return du, dx if is_shortcut else dv


class _Place:
    """A norm and the positions of its tensors.

    Attributes:
        norm: The norm.
        start: Index of its tensors in the row.
        found: Index of its statistics among those of all norms.
        finish_moments: Kernel that adds up the parts of the statistics.
        finish_sums: Kernel that adds up the parts of the means that a window's norm subtracts in backward.
    """

    finish_moments: Launch
    finish_sums: Launch

    def __init__(self, norm: Norm, start: int, found: int) -> None:
        self.norm, self.start, self.found = norm, start, found


class _Call:
    """Launches kernels of a plan in forward or backward: by address, or with tensors until they are compiled."""

    def __init__(self, plan: TritonFunnelPlan, direction: str) -> None:
        is_compiled = plan.is_compiled[direction]
        self.at = Tensor.data_ptr if is_compiled else _itself
        self._start = Launch.at if is_compiled else Launch.__call__
        zeros, ones = self.at(plan.zeros), self.at(plan.ones)
        self.no_norm = zeros, ones, ones, zeros, 0.0

    def __call__(self, launch: Launch, *args: Any) -> None:
        self._start(launch, *args)

    def piece(self, workspace: Tensor, start: int) -> Any:
        """Return the workspace from the value ``start`` on."""
        if self.at is _itself:
            return workspace[start:]
        return workspace.data_ptr() + 4 * start


def _itself(tensor: Tensor) -> Tensor:
    return tensor
