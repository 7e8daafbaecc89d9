"""The autograd function of all backends, and the interface of a backend."""

from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .context import is_several
from .spec import Row

Outputs = Tuple[Tensor, ...]


class Backend(NamedTuple):
    """A backend.

    Attributes:
        unsupported_reason: Function of a specification and a row of tensors. Returns why they are unsupported, or None.
        plan: Function of the same arguments. Returns the :class:`Plan`.
    """

    unsupported_reason: Callable[[Any, Row], Optional[str]]
    plan: Callable[[Any, Row], 'Plan']


class Plan:
    """How a backend computes one specification for one kind of input. It holds no tensors of a call, because layers share it.

    Args:
        spec: The specification: :class:`.FunnelSpec` or another one.
        row: Tensors of that kind.
    """

    def __init__(self, spec: Any, row: Row) -> None:
        self.spec = spec

    def forward(
        self, row: Row, may_overwrite: bool = False, moves_running_statistics: bool = True
    ) -> Tuple[Outputs, List[Tensor]]:
        """Compute the outputs.

        Args:
            row: The tensors, in the order of the specification.
            may_overwrite: Whether the first features may be overwritten, because nothing is saved for backward.
            moves_running_statistics: Whether to update running statistics.

        Returns:
            The outputs; and mean and variance of each norm that uses statistics of the batch.
        """
        raise NotImplementedError

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> List[Optional[Tensor]]:
        """Compute gradients.

        Args:
            row: The row returned by ``spec.saved``.
            grads: Gradients of the outputs.
            wanted: Whether each tensor of the row needs a gradient.

        Returns:
            A gradient or None for each tensor of the row. Gradients that are not needed are dropped by the caller.
        """
        raise NotImplementedError


def run(plan: Plan, row: Row) -> Outputs:
    """Compute a plan, with gradients if they are enabled, and update running statistics."""
    if not torch.is_grad_enabled():
        return plan.forward(row, may_overwrite=True)[0]
    return _apply(plan, *row)


class Fused(torch.autograd.Function):
    """Autograd function of a plan. Backward recomputes what forward did not save."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, *row: Optional[Tensor]) -> Any:
        """Compute the outputs and save the row."""
        outputs, statistics = plan.forward(row)
        ctx.plan = plan
        ctx.save_for_backward(*plan.spec.saved(row, statistics))
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Optional[Tensor]) -> Tuple[Optional[Tensor], ...]:
        """Compute the gradients of the row."""
        wanted = ctx.needs_input_grad[1:]
        given = [grad for grad in grads if grad is not None]
        if not given:
            return (None,) * (1 + len(wanted))
        row = ctx.saved_tensors  # accessed once, because checkpointing recomputes them on access
        plan = ctx.plan
        if torch.is_grad_enabled() or any(map(is_several, given)):
            return (None, *gradients_by_autograd(plan.spec.compute, row, wanted, grads))
        found = plan.backward(row, grads, wanted)
        return (None, *[grad if want else None for grad, want in zip(found, wanted)])


# Function.apply checks every argument for transforms of torch.func. A plan is never used with them, so the check is skipped.
_apply = super(torch.autograd.Function, Fused).apply


def gradients_by_autograd(
    compute: Callable[[Row], Outputs],
    row: Row,
    wanted: Sequence[bool],
    grads: Row,
) -> List[Optional[Tensor]]:
    """Compute gradients with autograd, including their graph if gradients are enabled.

    The result can be differentiated again, for ``create_graph=True``, and several gradients can be computed at once.

    Args:
        compute: Function to differentiate.
        row: Its arguments.
        wanted: Whether each argument needs a gradient.
        grads: Gradients of its outputs.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views instead of the tensors: if a tensor is used twice, each use gets its own gradient.
        inputs = [tensor.view_as(tensor) if need else tensor for tensor, need in zip(row, wanted)]
        outputs = compute(inputs)
    pairs = [
        (output, grad)
        for output, grad in zip(outputs, grads)
        if grad is not None and output.requires_grad
    ]
    if not pairs:
        return [None] * len(wanted)
    sources = [tensor for tensor, need in zip(inputs, wanted) if need]
    outputs, grads = zip(*pairs)
    found = iter(
        torch.autograd.grad(outputs, sources, grads, create_graph=create_graph, allow_unused=True)
    )
    return [next(found) if need else None for need in wanted]
