"""Which of the interchangeable implementations computes an activation, and why.

All of them give the same values and gradients; they differ in time and in what they keep for backward:

- ``eager``: op by op, the reference.
- ``recompute``: keeps the input and a few numbers per channel, and computes the rest again in backward. Any device.
- ``numba``: the same by compiled loops (:mod:`mm_frelu.ops.cpu`), on CPUs.
- ``triton``: fused kernels (:mod:`mm_frelu.ops.fused`), where they are asked for.
- ``auto``: numba if it can, else recompute, else eager. The fused kernels are not among its choices before they have run on a GPU: their
  tests so far are Triton's interpreter and compiler.

The environment variable ``MM_FRELU_IMPLEMENTATION`` stands above what a layer's config says.
"""

import os
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx import _symbolic_trace
from torch.nn.modules import module as torch_module

IMPLEMENTATIONS = ('auto', 'eager', 'recompute', 'numba', 'triton')
AUTOMATIC = ('numba', 'recompute')
"""What ``auto`` may take beside eager."""

VARIABLE = 'MM_FRELU_IMPLEMENTATION'

# torch 2.3 and later.
is_compiling = getattr(torch.compiler, 'is_compiling', lambda: False)
_is_legacy_batched = getattr(torch._C._functorch, 'is_legacy_batchedtensor', lambda tensor: False)
# Later ones warn of the old name, which takes in compiled graphs.
is_fx_tracing = getattr(_symbolic_trace, 'is_fx_symbolic_tracing', _symbolic_trace.is_fx_tracing)

Candidate = Tuple[str, Callable[[], Optional[str]]]
"""Name of an implementation, and what tells why it cannot compute the case at hand (None if it can)."""


class Choice(NamedTuple):
    """What computes an activation.

    Attributes:
        name: ``'eager'``, ``'recompute'``, ``'numba'`` or ``'triton'``.
        reason: Why this one, in words.
    """

    name: str
    reason: str


def requested(implementation: str) -> Tuple[str, str]:
    """The implementation that is asked for, and by whom.

    Args:
        implementation: The word of the layer's config.

    Returns:
        The word that counts and how it was given.

    Raises:
        ValueError: If it is not one of :data:`IMPLEMENTATIONS`.
    """
    from_environment = os.environ.get(VARIABLE)
    word, source = (
        (from_environment, f'{VARIABLE}={from_environment}')
        if from_environment
        else (implementation, f"implementation='{implementation}'")
    )
    if word not in IMPLEMENTATIONS:
        raise ValueError(f'{source}: expected one of {", ".join(IMPLEMENTATIONS)}.')
    return word, source


def choose(implementation: str, candidates: Sequence[Candidate]) -> Choice:
    """Pick an implementation.

    ``auto`` takes the first candidate out of :data:`AUTOMATIC` that can, and eager if none can. A word that names one is obeyed or refused, but
    for graphs that are traced or exported: those are always eager, whose ops every format knows.

    Args:
        implementation: The word of the layer's config.
        candidates: What there is beside eager, the best first.

    Raises:
        ValueError: If there is no such implementation.
        RuntimeError: If the one that was asked for cannot compute this case.
    """
    word, source = requested(implementation)
    if word == 'eager':
        return Choice('eager', source)
    if is_exporting():
        return Choice('eager', 'the graph is traced or exported')
    refusals: Dict[str, List[str]] = {}
    for name, why_not in candidates:
        if name not in (AUTOMATIC if word == 'auto' else (word,)):
            continue
        reason = why_not()
        if reason is None:
            return Choice(name, _explain(source, refusals))
        refusals.setdefault(reason, []).append(name)
    if word != 'auto':
        reason = next(iter(refusals), f'there are no {word} kernels for it')
        raise RuntimeError(
            f"{source} cannot compute this layer ({reason}). Use 'auto', which falls back, or 'eager'."
        )
    return Choice('eager', _explain(source, refusals))


def _explain(source: str, refusals: Dict[str, List[str]]) -> str:
    """The source of a choice, and what spoke against the better ones."""
    reasons = [f'not {" or ".join(names)}: {reason}' for reason, names in refusals.items()]
    return '; '.join([source, *reasons])


def is_exporting() -> bool:
    """Whether a graph is being traced by ``torch.jit`` or ``torch.fx``, or exported to ONNX."""
    if is_compiling():
        return False
    return torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() or is_fx_tracing()


def has_hooks(module: nn.Module) -> bool:
    """Whether calling the module does more, or other things, than the forward of its class."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or 'forward' in vars(module)
        or torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )


def is_several(grad: Tensor) -> bool:
    """Whether a gradient stands for several, as in backward with ``is_grads_batched`` or of a vectorised Jacobian.

    Only what autograd itself is made of can compute with it.
    """
    if is_compiling():
        return False
    return torch._C._functorch.is_batchedtensor(grad) or _is_legacy_batched(grad)


def why_no_custom_gradient() -> Optional[str]:
    """Why a hand-written gradient cannot serve: forward-mode derivatives and ``torch.func`` transforms need the ops."""
    if is_compiling():
        return None
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return 'a torch.func transform is at work'
    if forward_ad._current_level >= 0:
        return 'forward-mode differentiation is at work'
    return None
