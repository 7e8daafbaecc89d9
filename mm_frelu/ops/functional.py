r"""The activations as functions. Each one selects a backend and runs it.

:mod:`.eager` has the definitions.
"""

from typing import Any, Optional, Sequence, Tuple

from torch import Tensor, nn

from . import eager
from .autograd import run
from .compiled import run_compiled, select_compiled
from .context import convolution_dtype, is_compiling, is_exporting
from .dispatch import APART, EXPORTED, Choice, select
from .dynamic import PiecewiseSpec, PoolSpec, ProjectSpec, is_plain_projection
from .eager import Branch, WindowModules
from .modules import read_row, read_spec, row_key, unsupported_features, unsupported_modules
from .spec import Description, Row, facts


def activate(
    branches: Sequence[Branch],
    windows: Sequence[WindowModules],
    combine: str = 'sum',
    implementation: str = 'auto',
    inplace: bool = False,
) -> Tuple[Tensor, Choice]:
    """Compute norms, their sum and its funnel activation.

    A fused backend saves only the inputs of the norms for backward, as the norms of any network do.

    Args:
        branches: Each a feature map of shape (N, C, H, W) and the norm that follows it, or None for no norm.
        windows: One or more windows, each a depthwise convolution and its norm. Each must keep the shape of ``x``.
        combine: How several windows are combined into one condition, ``'sum'`` or ``'max'``.
        implementation: See :mod:`.dispatch`.
        inplace: Whether the result may be written into the memory of the first branch if gradients are disabled.

    Returns:
        The activated features, and the chosen backend.

    Raises:
        ValueError: If there is no such implementation or combination.
        RuntimeError: If the requested implementation does not support this case.
    """
    if combine not in eager.COMBINE:
        raise ValueError(f"combine={combine!r}: expected 'sum' or 'max'.")
    if is_exporting():  # before any property of the traced tensors is read
        x = eager.sum_of_norms(branches)
        return eager.funnel(x, windows, combine), EXPORTED
    x = branches[0][0]
    dtype, is_cast = convolution_dtype(x)

    def describe() -> Description:
        reason = unsupported_modules(branches, windows, dtype, is_cast)
        if reason is not None:
            return None, reason
        return read_spec(branches, windows, combine, dtype, inplace), None

    row = read_row(branches, windows)
    has_norms = len(branches) > 1 or branches[0][1] is not None
    if is_compiling():
        choice, spec = select_compiled(implementation, row, describe, has_norms)
        if spec is not None:
            return run_compiled(choice.name, spec, row)[0], choice
    else:
        key = (row_key(branches, windows, row), combine, dtype, is_cast, inplace)
        choice, plan = select(implementation, key, row, describe, has_norms)
        if plan is not None:
            if x.numel() > x.shape[1] or any(norm.group is not None for norm in plan.spec.norms):
                return run(plan, row)[0], choice
            # If a norm does not support this, torch raises the error.
            choice = Choice('eager', 'the input has at most one value per channel')
    x = eager.sum_of_norms(branches)
    if choice.name == APART:
        return activate([(x, None)], windows, combine, implementation, inplace)
    return eager.funnel(x, windows, combine), choice


def funnel(
    x: Tensor,
    windows: Sequence[WindowModules],
    combine: str = 'sum',
    implementation: str = 'auto',
    inplace: bool = False,
) -> Tensor:
    r""":math:`y = \max(x, T(x))` (FReLU paper, section 3), for windows that are modules.

    Args:
        x: Input of shape (N, C, H, W).
        windows: As of :func:`activate`.
        combine: As of :func:`activate`.
        implementation: As of :func:`activate`.
        inplace: As of :func:`activate`.

    Returns:
        The activated features, of the shape of ``x``.
    """
    return activate([(x, None)], windows, combine, implementation, inplace)[0]


def pool(x: Tensor, implementation: str = 'auto') -> Tuple[Tensor, Tensor]:
    """Compute the means of the channels, for a layer that also uses x (see :mod:`.dynamic`).

    Args:
        x: Features of shape (N, C, H, W).
        implementation: As of :func:`activate`.

    Returns:
        x, to continue with, and the means, of shape (N, C).
    """
    outputs, _ = _compute(PoolSpec(), [x], implementation)
    return outputs or (x, eager.pool(x))


def pool_and_project(
    x: Tensor, projection: nn.Module, implementation: str = 'auto'
) -> Tuple[Tensor, Tensor, Tensor]:
    """Compute the means of the channels and a convolution to one channel, fused if the convolution is plain.

    Args:
        x: Features of shape (N, C, H, W).
        projection: 1x1 convolution to one channel, without bias.
        implementation: As of :func:`activate`.

    Returns:
        x, to continue with; the means, of shape (N, C); and the projection of x, of shape (N, 1, H, W).
    """
    if not is_exporting() and is_plain_projection(projection):
        dtype, is_cast = convolution_dtype(x)
        if is_cast or projection.weight.dtype == x.dtype:
            row = [x, projection.weight]
            outputs, _ = _compute(ProjectSpec(dtype), row, implementation)
            if outputs is not None:
                return outputs
    x, means = pool(x, implementation)
    return x, means, projection(x)


def activate_piecewise(
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor] = None,
    attention: Optional[Tensor] = None,
    implementation: str = 'auto',
) -> Tuple[Tensor, Choice]:
    """Compute :func:`piecewise_max`, and say which backend was chosen.

    Args:
        x: As in :func:`.eager.piecewise_max`.
        slopes: As there.
        intercepts: As there.
        attention: As there.
        implementation: As in :func:`activate`.

    Returns:
        Features of the shape of ``x``, and the chosen backend.
    """
    row: Row = [x, slopes, intercepts, attention]
    outputs, choice = _compute(PiecewiseSpec(slopes.shape[0]), row, implementation)
    return eager.piecewise_max(*row) if outputs is None else outputs[0], choice


def piecewise_max(
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor] = None,
    attention: Optional[Tensor] = None,
    implementation: str = 'auto',
) -> Tensor:
    r""":math:`y = \pi \max_k (a^k x + b^k)` (DY-ReLU paper, equation 2 and figure 2).

    Args:
        x: As of :func:`.eager.piecewise_max`.
        slopes: As there.
        intercepts: As there.
        attention: As there.
        implementation: As of :func:`activate`.

    Returns:
        Features of the shape of ``x``.
    """
    return activate_piecewise(x, slopes, intercepts, attention, implementation)[0]


def _compute(spec: Any, row: Row, implementation: str) -> Tuple[Optional[Tuple], Choice]:
    """Compute with a backend, or return None if eager was chosen."""

    def describe() -> Description:
        return spec, unsupported_features(row[0]) or spec.unsupported_reason(row)

    if is_exporting():  # before any property of the traced tensors is read
        return None, EXPORTED
    if is_compiling():
        # An operator must not return one of its inputs, and the compiler optimises pooling itself.
        if type(spec) is not PiecewiseSpec:
            return None, Choice('eager', 'a compiled graph')
        choice, found = select_compiled(implementation, row, describe)
        return None if found is None else run_compiled(choice.name, spec, row), choice
    key = (spec, *(None if tensor is None else facts(tensor) for tensor in row))
    choice, plan = select(implementation, key, row, describe)
    return None if plan is None or row[0].numel() == 0 else run(plan, row), choice
