"""Which backend computes an activation, and why.

All of them give the same values and gradients; they differ in time and in what they keep for backward:

- ``eager``: op by op, the reference.
- ``recompute``: keeps the input and a few numbers per channel, and computes the rest again in backward. Any device. On a
  GPU it takes longer than eager: it is for those who need the memory.
- ``numba``: the same by compiled loops (:mod:`mm_frelu.ops.cpu`), on CPUs.
- ``triton``: the same by fused kernels (:mod:`mm_frelu.ops.gpu`), on CUDA GPUs.
- ``auto``: on a CUDA GPU triton, else eager; on a CPU numba, else recompute, else eager.

The environment variable ``MM_FRELU_IMPLEMENTATION`` stands above what a layer's config says.
"""

import os
from collections import OrderedDict
from types import MappingProxyType
from typing import Any, Callable, Dict, Hashable, List, NamedTuple, Optional, Tuple

from . import cpu, gpu, recompute
from .autograd import Plan
from .context import Context
from .spec import Row

IMPLEMENTATIONS = ('auto', 'eager', 'recompute', 'numba', 'triton')
"""Values of ``implementation``: the backends, and ``'auto'``, which chooses one."""
AUTOMATIC = MappingProxyType(
    {'cuda': ('triton',), 'cpu': ('numba', 'recompute'), 'meta': ('recompute',)}
)
"""What ``auto`` may take on a type of device, the fastest first; eager where none of it can. Nothing is computed on torch's meta
device, where memory is counted: recompute keeps there what kernels keep."""

VARIABLE = 'MM_FRELU_IMPLEMENTATION'
MAX_PLANS = 4096
"""Choices that are remembered. Detectors see many shapes."""


class Choice(NamedTuple):
    """What computes an activation.

    Attributes:
        name: ``'eager'``, ``'recompute'``, ``'numba'`` or ``'triton'``.
        reason: Why this one, in words.
    """

    name: str
    reason: str


BACKENDS = MappingProxyType(
    {'triton': gpu.BACKEND, 'numba': cpu.BACKEND, 'recompute': recompute.BACKEND}
)
"""The backends beside eager."""


def requested(implementation: str) -> Tuple[str, str]:
    """The backend that is asked for, and by whom.

    Args:
        implementation: The word of the layer's config.

    Returns:
        The word that counts and how it was given.

    Raises:
        ValueError: If it is not one of :data:`IMPLEMENTATIONS`.
    """
    from_environment = os.environ.get(VARIABLE)
    if from_environment:
        word, source = from_environment, f'{VARIABLE}={from_environment}'
    else:
        word, source = implementation, f"implementation='{implementation}'"
    if word not in IMPLEMENTATIONS:
        raise ValueError(f'{source}: expected one of {", ".join(IMPLEMENTATIONS)}.')
    return word, source


_selected: 'OrderedDict[Hashable, Tuple[Choice, Optional[Plan]]]' = OrderedDict()
if hasattr(os, 'register_at_fork'):
    # What serves in a process need not serve in its children.
    os.register_at_fork(after_in_child=_selected.clear)

APART = 'apart'
"""Name of the choice to compute the norms one by one, and to choose anew for their sum."""


def select(
    implementation: str,
    key: Hashable,
    row: Row,
    describe: Callable[[], Tuple[Any, Optional[str]]],
    has_norms: bool = False,
) -> Tuple[Choice, Optional[Plan]]:
    """The backend for a layer and a kind of input. The choice is made once for each key, and remembered.

    ``auto`` takes the first of :data:`AUTOMATIC` that can, and eager if none can. A word that names one is obeyed or
    refused. Graphs that are traced or exported do not ask: they are always eager, whose ops every format knows.

    Args:
        implementation: The word of the layer's config.
        key: All that the choice depends on beside the word and the context.
        row: The tensors, features first.
        describe: Gives the specification, or None and why there is none.
        has_norms: Whether norms before the activation are part of it. What cannot take those may be able to do without.

    Returns:
        The choice, and the plan by which it computes; no plan for eager and :data:`APART`.

    Raises:
        ValueError: If there is no such implementation.
        RuntimeError: If the one that was asked for cannot compute this case.
    """
    context = Context.now()
    full = (implementation, os.environ.get(VARIABLE), context, key)
    found = _selected.get(full)
    if found is None:
        found = _choose(implementation, context, row, describe, has_norms)
        _selected[full] = found
        if len(_selected) > MAX_PLANS:
            _selected.popitem(last=False)
    return found


def _choose(
    implementation: str, context: Context, row: Row, describe: Callable, has_norms: bool
) -> Tuple[Choice, Optional[Plan]]:
    word, source = requested(implementation)
    if word == 'eager':
        return Choice('eager', source), None
    names = AUTOMATIC.get(row[0].device.type, ()) if word == 'auto' else (word,)
    spec, unreadable = describe()
    refusals: Dict[str, List[str]] = {}
    for name in names:
        backend = BACKENDS[name]
        reason = unreadable or context.unsupported_reason() or backend.unsupported_reason(spec, row)
        if reason is None and context.has_dispatch_mode and name != 'recompute':
            # FakeTensorMode, make_fx and the like would not see the kernels, and record a graph without them.
            reason = 'a TorchDispatchMode looks at every operator'
        if reason is None:
            where = ', from before the norm' if has_norms else ''
            return Choice(name, _explain(source + where, refusals)), backend.plan(spec, row)
        refusals.setdefault(reason, []).append(name)
    if has_norms and refusals:
        return Choice(APART, _explain(source, refusals)), None
    if word != 'auto':
        raise RuntimeError(
            f"{source} cannot compute this layer ({next(iter(refusals))}). Use 'auto', which falls back, or 'eager'."
        )
    return Choice('eager', _explain(source, refusals)), None


def _explain(source: str, refusals: Dict[str, List[str]]) -> str:
    """The source of a choice, and what spoke against the better ones."""
    reasons = [f'not {" or ".join(names)}: {reason}' for reason, names in refusals.items()]
    return '; '.join([source, *reasons])
