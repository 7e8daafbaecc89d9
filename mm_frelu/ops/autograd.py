"""One autograd function for everything that a backend computes, and the same as an operator of compiled graphs."""

from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .context import is_several
from .spec import Row

Outputs = Tuple[Tensor, ...]


class Backend(NamedTuple):
    """A way to compute.

    Attributes:
        unsupported_reason: Takes a specification and a row of tensors; says why they cannot be computed, or None.
        plan: Takes the same; gives the :class:`Plan`.
    """

    unsupported_reason: Callable[[Any, Row], Optional[str]]
    plan: Callable[[Any, Row], 'Plan']


class Plan:
    """How a backend computes one specification for one kind of input. It holds no tensors.

    Attributes:
        spec: What is computed: :class:`.FunnelSpec` or another specification.
    """

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    def forward(
        self, row: Row, may_overwrite: bool = False, moves_running_statistics: bool = True
    ) -> Tuple[Outputs, List[Tensor]]:
        """Compute.

        Args:
            row: The tensors, in the order of the specification.
            may_overwrite: Whether nothing is kept for backward, so that the first features may be overwritten.
            moves_running_statistics: Whether to move those, too.

        Returns:
            The outputs; and mean and variance of each norm that takes them from the batch.
        """
        raise NotImplementedError

    def backward(self, row: Row, grads: Row, wanted: Sequence[bool]) -> List[Optional[Tensor]]:
        """Compute gradients.

        Args:
            row: The row that ``spec.saved`` made.
            grads: Gradients of the outputs.
            wanted: For each tensor of the row whether its gradient is wanted.

        Returns:
            A gradient or None for each tensor of the row; what is not wanted is dropped.
        """
        raise NotImplementedError


def run(plan: Plan, row: Row) -> Outputs:
    """Compute by a plan, with gradients where they are enabled, and move running statistics."""
    if not torch.is_grad_enabled():
        return plan.forward(row, may_overwrite=True)[0]
    outputs = _apply(plan, *row)
    return outputs if isinstance(outputs, tuple) else (outputs,)


class Fused(torch.autograd.Function):
    """What a plan computes. Backward computes again what forward did not keep."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, *row: Optional[Tensor]) -> Any:
        """Compute and keep the row."""
        outputs, statistics = plan.forward(row)
        ctx.plan = plan
        ctx.save_for_backward(*plan.spec.saved(row, statistics))
        ctx.set_materialize_grads(False)
        return outputs[0] if len(outputs) == 1 else outputs

    @staticmethod
    def backward(ctx: Any, *grads: Optional[Tensor]) -> Tuple[Optional[Tensor], ...]:
        """Gradients of the row."""
        wanted = ctx.needs_input_grad[1:]
        if all(grad is None for grad in grads):
            return (None,) * (1 + len(wanted))
        row = ctx.saved_tensors  # once: checkpointing computes them when they are asked for
        plan = ctx.plan
        if torch.is_grad_enabled() or any(grad is not None and is_several(grad) for grad in grads):
            return (None, *gradients_by_autograd(plan.spec.compute, row, wanted, grads))
        found = plan.backward(row, grads, wanted)
        return (None, *(grad if want else None for grad, want in zip(found, wanted)))


# Function.apply looks for transforms of torch.func in every argument, which a plan never meets.
_apply = super(torch.autograd.Function, Fused).apply


def gradients_by_autograd(
    compute: Callable[[Row], Outputs],
    row: Row,
    wanted: Sequence[bool],
    grads: Row,
) -> List[Optional[Tensor]]:
    """Gradients by autograd itself, with a graph behind them where gradients are enabled.

    They can in turn be differentiated, for ``create_graph=True``, and take several gradients at once.

    Args:
        compute: What is differentiated.
        row: Its arguments.
        wanted: Which of them need a gradient.
        grads: Gradients of its outputs.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views stand for the tensors: where one of them serves two purposes, each gets its own gradient.
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
