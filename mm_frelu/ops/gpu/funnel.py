"""Run the funnel activation with the kernels of :mod:`.funnel_kernels`: order of the kernels, and their arguments."""

from operator import itemgetter
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

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
    is_channels_last,
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
    x = row[0]
    if x.dtype not in DTYPES:
        return f'the input is {x.dtype}, but the kernels support float32, float16 and bfloat16'
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
    if len(spec.branches) > 2:
        return f'{len(spec.branches)} branches are added before it'
    if len({(norm.mode, norm.group) for norm in spec.branches if norm.mode != NONE}) > 1:
        return 'the norms of the branches differ in kind'
    orders = {is_channels_last(row[BRANCH_LENGTH * index]) for index in range(len(spec.branches))}
    return 'the branches differ in memory format' if len(orders) > 1 else None


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
        super().__init__(spec, row)
        x = row[0]
        self.channels = x.shape[1]
        self.count = x.numel() // x.shape[1]
        self.statistics = spec.statistics
        self.channels_last = is_channels_last(x)
        norms: List[_Place] = []
        first = 0
        for norm, start, bias in spec.places:
            bias = None if bias is None or row[bias] is None else bias
            norms.append(_Place(norm, start, first, bias))
            first += 2 * (norm.mode == BATCH)
        count = len(spec.branches)
        # A branch with a norm comes first, because the kernels support a norm of the first branch or of both.
        self.branches = sorted(norms[:count], key=lambda place: place.norm.mode == NONE)
        self.windows = norms[count:]
        self.batch = self.windows[0].norm.mode == BATCH
        self.two = count == 2
        self.scaled = self.branches[0].norm.mode == FIXED
        places = [place.start + step for place in self.branches for step in (0, 1)]
        places += [place.start + step for place in self.windows for step in (-2, -1, 0, 1)]
        self.per_channel = [index for index in places if row[index] is not None]
        self._set_arguments(row)
        self._set_launches(x)
        by_tensor = _Call(self.constants, by_address=False)
        self.calls = {'forward': by_tensor, 'backward': by_tensor}
        self.by_address = _Call(self.constants, by_address=True)

    def _set_arguments(self, row: Row) -> None:
        """Set functions that pick the arguments of the kernels from what :meth:`_Call.values` returns.

        The kernels take two branches and two windows. Their arguments are named as in the kernels.
        """
        norms = (*self.branches, *self.windows)
        self.constants = [*constants(row[0].device, self.channels), None, 0.0]
        self.constants += [float(place.norm.eps) for place in norms]
        zeros, ones, none, zero, first_eps = range(len(row), len(row) + 5)
        gradients = len(row) + len(self.constants)  # those of the row follow in backward

        def norm(place: _Place, eps: int) -> Tuple[int, ...]:
            """Return the positions of mean, variance, scale, shift and epsilon."""
            if place.norm.mode == NONE:
                return identity
            start = place.start
            scale = ones if row[start] is None else start
            shift = zeros if row[start + 1] is None else start + 1
            return start + 2, start + 3, scale, shift, eps

        def pair(entries: Sequence[Any], missing: Any) -> List[Any]:
            return [*entries, missing][:2]

        identity = (zeros, ones, ones, zeros, zero)
        positions = [norm(place, first_eps + index) for index, place in enumerate(norms)]
        branches = pair(positions[: len(self.branches)], identity)
        windows = pair(positions[len(self.branches) :], identity)
        (m1, v1, g1, _, eps1), (m2, v2, g2, _, eps2) = branches
        (ma, va, ga, ba, epsa), (mb, vb, gb, bb, epsb) = windows
        # A batch norm cancels the bias.
        biases = [zeros if self.batch or p.bias is None else p.bias for p in self.windows]
        ca, cb = pair(biases, zeros)
        weights = pair([place.start - 2 for place in self.windows], none)
        self.for_measure = itemgetter(ones, none, *identity, *identity)
        self.for_x = itemgetter(*weights, *branches[0], *branches[1])
        self.for_windows = itemgetter(ma, va, ga, ba, ca, epsa, mb, vb, gb, bb, cb, epsb)
        self.for_norms = itemgetter(m1, v1, g1, eps1, m2, v2, g2, eps2)
        # finish_sums computes the gradients of scale and shift of a window's batch norm, finish_gradient all others.
        starts = [gradients + place.start for place in self.windows]
        self.for_sums = [
            itemgetter(start, start + 1, window[1], window[4])
            for start, window in zip(starts, windows)
        ]
        of_weights = pair([start - 2 for start in starts], none)
        of_windows = [
            (none, none, start - 1) if self.batch else (start, start + 1, start - 1)
            for start in starts
        ]
        of_windows = pair(of_windows, (none,) * 3)
        starts = [gradients + place.start for place in self.branches]
        (dg1, db1), (dg2, db2) = pair([(start, start + 1) for start in starts], (none, none))
        self.for_finish = itemgetter(
            *of_weights, *of_windows[0], *of_windows[1], va, ga, epsa, vb, gb, epsb,
            dg1, db1, v1, eps1, dg2, db2, v2, eps2,
        )  # fmt: skip

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
        for place in self.windows:
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
            result = self._forward(row, self.calls['forward'], moves_running_statistics)
        if not INTERPRETED:
            self.calls['forward'] = self.by_address
        return result

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> List[Optional[Tensor]]:
        """See :meth:`.Plan.backward`."""
        with device_of(row[0]):
            result = self._backward(row, grads[0], self.calls['backward'])
        if not INTERPRETED:
            self.calls['backward'] = self.by_address
        return result

    # --- forward -------------------------------------------------------------------------------------------------------

    def _forward(self, row: Row, call: '_Call', moves: bool) -> Tuple[Outputs, List[Tensor]]:
        c, cut = self.channels, self.cut
        branches = [wide(row[place.start - 1]) for place in self.branches]
        u = branches[0]
        y = torch.empty_like(u)
        features = [*map(call.at, branches)] + [None] * (not self.two)
        values = call.values(row)
        statistics: List[Tensor] = []
        parts = None
        if self.statistics:
            statistics += u.new_empty((self.statistics, c), dtype=torch.float32).unbind()
            partials = u.new_empty(3 * len(self.windows) * cut.parts * c, dtype=torch.float32)
            parts = call.at(partials)
        for place, branch in zip(self.branches, features):
            if place.norm.mode == BATCH:
                call(self.measure, branch, None, parts, *self.for_measure(values), *cut.sizes)
                self._finish(place, row, values, call, parts, 0, statistics, moves)
        for_x = self.for_x(values)
        if self.batch:
            call(self.moments, *features, parts, *for_x, *cut.sizes)
            for index, place in enumerate(self.windows):
                self._finish(place, row, values, call, parts, 3 * index, statistics, moves)
        call(self.activate, *features, call.at(y), *for_x, *self.for_windows(values), *cut.sizes)
        return (y,), statistics

    def _finish(
        self, place: '_Place', row: Row, values: List[Any], call: '_Call', parts: Any, first: int,
        statistics: Sequence[Tensor], moves: bool,
    ) -> None:  # fmt: skip
        """Compute mean and variance from their parts, and update the running statistics.

        Mean and variance replace the running statistics in ``values``.
        """
        norm, start = place.norm, place.start
        mean, var = statistics[place.first_statistic : place.first_statistic + 2]
        to_running = values[start + 2 : start + 5] if moves else [None, None, None]
        to = values[start + 2 : start + 4] = call.at(mean), call.at(var)
        sizes = self.channels, self.cut.parts, first
        bias = place.bias
        if norm.group is not None:
            call(place.finish_moments, parts, *to, None, None, None, None, 0.0, *sizes)
            *joint, total = merge_moments(mean, var, self.count, norm.group)
            torch._foreach_copy_([mean, var], joint)
            if moves:
                own = NormTensors(*row[start : start + 5])
                move_running(norm, own, mean, var, total, None if bias is None else row[bias])
            return
        momentum = norm.momentum
        if momentum is None:
            momentum = 0.0
            if moves and row[start + 4] is not None:
                row[start + 4].add_(1)  # all programs read the count, so none may change it
        to_bias = None if bias is None or to_running[0] is None else values[bias]
        call(place.finish_moments, parts, *to, *to_running, to_bias, float(momentum), *sizes)
        for tensor in row[start + 2 : start + 5] if moves else ():
            if tensor is not None:  # one at a time, because older torch versions take no list
                torch.autograd.graph.increment_version(tensor)

    # --- backward ------------------------------------------------------------------------------------------------------

    def _backward(self, row: Row, grad: Tensor, call: '_Call') -> List[Optional[Tensor]]:
        c, cut = self.channels, self.gradient_cut
        branches = [wide(row[place.start - 1]) for place in self.branches]
        u = branches[0]
        grad = laid_out_as(u, grad)
        features = [*map(call.at, branches)] + [None] * (not self.two) + [call.at(grad)]
        # All gradients are computed, wanted or not, because kernels are compiled for the tensors that exist.
        found: List[Any] = [None] * len(row)
        for index in self.per_channel:
            found[index] = torch.empty_like(row[index])
        values = call.values(row, found)
        for_x, for_windows = self.for_x(values), self.for_windows(values)
        # The workspace: parts of the gradients; means that the batch norms of the branches subtract; the same for the windows;
        # and the parts of the latter.
        ends = self.numbers * cut.parts * c
        ends = ends, ends + 3 * c, ends + 3 * c + 2 * len(self.windows) * c
        parts_of_sums = 2 * len(self.windows) * self.cut.parts * c if self.batch else 0
        workspace = u.new_empty(ends[2] + parts_of_sums, dtype=torch.float32)
        means: List[Any] = [None, None]
        if self.batch:
            of_sums = call.piece(workspace, ends[2])
            call(self.sums, *features, of_sums, *for_x, *for_windows, *self.cut.sizes)
            for index, place in enumerate(self.windows):
                start = ends[1] + 2 * index * c
                means[index] = call.piece(workspace, start)
                call(
                    place.finish_sums, of_sums, means[index], *self.for_sums[index](values), float(self.count), c,
                    self.cut.parts, 2 * index,
                )  # fmt: skip
                if place.norm.group is not None:
                    own = workspace[start : start + 2 * c].view(2, c)
                    own.copy_(merge_means(own, self.count, place.norm.group))
        du = torch.empty_like(u)
        dv = torch.empty_like(u) if self.scaled and self.two else None
        parts, to_dv = call.at(workspace), None if dv is None else call.at(dv)
        call(
            self.gradient, *features, call.at(du), to_dv, parts, *means, *for_x, *for_windows, *cut.sizes
        )  # fmt: skip
        taken = to_taken = None
        if self.branches[0].norm.mode == BATCH:
            taken = workspace[ends[0] : ends[1]].view(3, c)
            to_taken = call.piece(workspace, ends[0])
        call(
            self.finish_gradient, parts, *self.for_finish(values), to_taken, float(self.count), c, cut.parts
        )  # fmt: skip
        if taken is not None:
            group = self.branches[0].norm.group
            taken = taken if group is None else merge_means(taken, self.count, group)
            du, dv = self._through_norms(branches, du, taken, values, call)
        elif not self.scaled:
            dv = du
        for place, gradient in zip(self.branches, (du, dv)):
            found[place.start - 1] = gradient
        return found

    def _through_norms(
        self, branches: Sequence[Tensor], dx: Tensor, means: Tensor, values: Sequence, call: '_Call'
    ) -> Tuple[Tensor, Tensor]:
        """Compute the gradients of the branches from that of x."""
        is_shortcut = self.two and self.branches[1].norm.mode == NONE
        du = torch.empty_like(dx) if is_shortcut else dx
        dv = torch.empty_like(dx) if self.two and not is_shortcut else dx
        second = [None, None] if dv is dx else [call.at(branches[1]), call.at(dv)]
        positions = self.count if self.channels_last else self.count // dx.shape[0]
        call(
            self.norms, call.at(dx), call.at(branches[0]), second[0], call.at(du), second[1], call.at(means),
            *self.for_norms(values), self.channels, positions,
        )  # fmt: skip
        return du, dv


class _Place:
    """A norm and the positions of its tensors.

    Attributes:
        norm: The norm.
        start: Index of its tensors in the row.
        first_statistic: Index of its mean and variance among the statistics of all norms.
        bias: Index in the row of the bias of a window's convolution, or None.
        finish_moments: Kernel that adds up the parts of the statistics.
        finish_sums: Kernel that adds up the parts of the means that the norm of a window subtracts in backward. Branches have none.
    """

    finish_moments: Launch
    finish_sums: Launch

    def __init__(
        self, norm: Norm, start: int, first_statistic: int, bias: Optional[int] = None
    ) -> None:
        self.norm, self.start, self.bias = norm, start, bias
        self.first_statistic = first_statistic


class _Call:
    """Launches kernels of a plan: by address, or with tensors until they are compiled.

    Args:
        constants: Tensors and numbers that replace missing tensors of a row.
        by_address: Whether the kernels are compiled.

    Attributes:
        at: Function that returns what a kernel takes for a tensor.
    """

    def __init__(self, constants: Sequence[Any], by_address: bool) -> None:
        self.at: Callable[[Tensor], Any] = Tensor.data_ptr if by_address else _itself
        self._by_address = by_address
        self._start = Launch.at if by_address else Launch.__call__
        self._constants = [self.at(c) if isinstance(c, Tensor) else c for c in constants]

    def __call__(self, launch: Launch, *args: Any) -> None:
        self._start(launch, *args)

    def values(self, row: Row, gradients: Row = ()) -> List[Any]:
        """Return what kernels take for the tensors of a row, then the constants, then the gradients of the row."""
        at = self.at
        values = [None if tensor is None else at(tensor) for tensor in row]
        values += self._constants
        values += [None if tensor is None else at(tensor) for tensor in gradients]
        return values

    def piece(self, workspace: Tensor, start: int) -> Any:
        """Return what kernels take for the workspace from the value ``start`` on."""
        return workspace.data_ptr() + 4 * start if self._by_address else workspace[start:]


def _itself(tensor: Tensor) -> Tensor:
    return tensor
