"""Forward and backward of a plan as two torch operators for ``torch.compile``, which are opaque to the compiled graph.

Outside a compiled graph, the overhead of an operator would exceed the time of its kernels, so :mod:`.autograd` does not use
them. In the graph, torch's own operators update running statistics, and the compiler fuses them.
"""

from functools import cache
from typing import Any, Callable, Dict, Hashable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .autograd import Outputs, Plan
from .context import is_torch_export
from .dispatch import APART, BACKENDS, MAX_PLANS, Choice, requested, unsupported_error
from .dynamic import PiecewiseSpec
from .spec import Description, FunnelSpec, Row, facts

SPECS = (FunnelSpec, PiecewiseSpec)
"""Classes of specifications. An operator gets the index of one."""

HAS_OPERATORS = hasattr(torch.library, 'custom_op')


def select_compiled(
    implementation: str,
    row: Row,
    describe: Callable[[], Description],
    has_norms: bool = False,
) -> Tuple[Choice, Any]:
    """Choose a backend like :func:`.dispatch.select`, in a compiled graph.

    Choices are not cached, and on a CPU ``auto`` chooses eager, which the compiler optimises.

    Returns:
        The choice and the specification. The specification is None for eager and :data:`.dispatch.APART`.
    """
    word, source = requested(implementation)
    if is_torch_export():
        return Choice('eager', 'the graph is exported'), None
    if word == 'eager' or (word == 'auto' and not row[0].is_cuda):
        return Choice('eager', source), None
    name = 'triton' if word == 'auto' else word
    spec, reason = describe()
    if reason is None and not HAS_OPERATORS:
        reason = 'a compiled graph needs torch 2.4 or later'
    if reason is None and any(norm.group is not None for norm in spec.norms):
        reason = 'a norm shares its statistics with other processes, in a compiled graph'
    if reason is None:
        reason = BACKENDS[name].unsupported_reason(spec, row)
    if reason is None:
        return Choice(name, source), spec
    if has_norms:
        return Choice(APART, reason), None
    if word != 'auto':
        raise unsupported_error(source, reason)
    return Choice('eager', f'{source}; not triton: {reason}'), None


def run_compiled(name: str, spec: Any, row: Row) -> Outputs:
    """Compute in a compiled graph, and update running statistics.

    Args:
        name: The backend.
        spec: The specification.
        row: The tensors.
    """
    integers, floats = spec.numbers()
    kind = SPECS.index(type(spec))
    present = [tensor is not None for tensor in row]
    tensors = [tensor for tensor in row if tensor is not None]
    floats = floats or [0.0]  # torch would treat an empty list as a list of tensors
    values = torch.ops.mm_frelu.fused(tensors, present, name, [kind, *integers], floats)
    count = len(values) - spec.statistics
    if spec.statistics:
        spec.move_running_statistics(row, values[count:])
    return tuple(values[:count])


@cache
def _spec_of(integers: Tuple[int, ...], floats: Tuple[float, ...]) -> Any:
    return SPECS[integers[0]].of_numbers(integers[1:], floats)


def _as_declared(tensors: Sequence[Tensor], likes: Sequence[Tensor]) -> List[Tensor]:
    """Return the outputs of an operator as its fake implementation declares them.

    They have type and strides of ``torch.empty_like``, and do not share memory.
    """
    declared: List[Tensor] = []
    seen = set()
    for tensor, like in zip(tensors, likes):
        if tensor.dtype != like.dtype or tensor.stride() != like.stride():
            expected = torch.empty_like(like)  # dense, even if ``like`` has gaps
            if tensor.dtype != expected.dtype or tensor.stride() != expected.stride():
                tensor = expected.copy_(tensor)
        memory = tensor.untyped_storage().data_ptr()
        declared.append(tensor.clone() if memory in seen else tensor)
        seen.add(memory)
    return declared


def _row_of(tensors: Sequence[Tensor], present: Sequence[bool]) -> List[Optional[Tensor]]:
    rest = iter(tensors)
    return [next(rest) if is_there else None for is_there in present]


_plans: Dict[Hashable, Plan] = {}


def _plan(name: str, row: Row, integers: Sequence[int], floats: Sequence[float]) -> Plan:
    """Return the plan for a kind of input.

    It is separate from those of eager mode: there the kernels are compiled with running statistics, here without.
    """
    kinds = tuple(None if tensor is None else facts(tensor) for tensor in row)
    numbers = tuple(integers), tuple(floats)
    key = name, numbers, kinds
    if key not in _plans:
        if len(_plans) >= MAX_PLANS:
            _plans.pop(next(iter(_plans)))
        _plans[key] = BACKENDS[name].plan(_spec_of(*numbers), row)
    return _plans[key]


if HAS_OPERATORS:

    @torch.library.custom_op('mm_frelu::fused', mutates_args=())
    def fused(
        tensors: Sequence[Tensor],
        present: List[bool],
        name: str,
        integers: List[int],
        floats: List[float],
    ) -> List[Tensor]:
        """Compute outputs and statistics of a row of tensors with the backend ``name``; the numbers encode the specification.

        ``present`` marks the entries of the row that are tensors, because torch cannot differentiate a list with None.
        """
        row = _row_of(tensors, present)
        plan = _plan(name, row, integers, floats)
        outputs, statistics = plan.forward(row, moves_running_statistics=False)
        likes: List[Any] = [row[0]] * len(outputs) + statistics
        return _as_declared([*outputs, *statistics], likes)

    @fused.register_fake
    def _(tensors, present, name, integers, floats):
        spec, row = _spec_of(tuple(integers), tuple(floats)), _row_of(tensors, present)
        outputs, statistics = spec.outputs_like(row)
        return [*outputs, *statistics]

    @torch.library.custom_op('mm_frelu::fused_backward', mutates_args=())
    def fused_backward(
        row: Sequence[Optional[Tensor]],
        grads: Sequence[Optional[Tensor]],
        name: str,
        integers: List[int],
        floats: List[float],
        wanted: List[bool],
    ) -> List[Tensor]:
        """Compute the gradients of the tensors of the row that need one."""
        found: List[Any] = _plan(name, row, integers, floats).backward(row, grads, wanted)
        pairs = [(grad, tensor) for grad, tensor, want in zip(found, row, wanted) if want]
        return _as_declared(*zip(*pairs)) if pairs else []

    @fused_backward.register_fake
    def _(row, grads, name, integers, floats, wanted):
        return [torch.empty_like(tensor) for tensor, want in zip(row, wanted) if want]

    def _keep(ctx: Any, inputs: Tuple, output: List[Tensor]) -> None:
        tensors, ctx.present, ctx.name, ctx.integers, ctx.floats = inputs
        row = _row_of(tensors, ctx.present)
        spec = _spec_of(tuple(ctx.integers), tuple(ctx.floats))
        ctx.outputs = len(output) - spec.statistics
        ctx.wanted = [tensor is not None and tensor.requires_grad for tensor in row]
        ctx.save_for_backward(*spec.saved(row, output[ctx.outputs :]))

    def _backward(ctx: Any, grads: List[Optional[Tensor]]) -> Tuple[Any, ...]:
        found = iter(
            torch.ops.mm_frelu.fused_backward(
                list(ctx.saved_tensors),
                list(grads[: ctx.outputs]),
                ctx.name,
                ctx.integers,
                ctx.floats,
                ctx.wanted,
            )
        )
        wanted = [want for want, is_there in zip(ctx.wanted, ctx.present) if is_there]
        return [next(found) if want else None for want in wanted], None, None, None, None

    fused.register_autograd(_backward, setup_context=_keep)
