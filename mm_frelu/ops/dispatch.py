"""Choose the backend that computes an activation.

All backends give the same values and gradients. They differ in time and in the memory that they save for backward:

- ``eager``: computes op by op. It is the reference.
- ``recompute``: saves the input and a few numbers per channel, and recomputes the rest in backward. It runs on any device. On a
  GPU it is slower than eager, but saves memory.
- ``numba``: like recompute, with compiled loops (:mod:`mm_frelu.ops.cpu`), on CPUs.
- ``triton``: like recompute, with fused kernels (:mod:`mm_frelu.ops.gpu`), on CUDA GPUs.
- ``auto``: triton on a CUDA GPU, and numba or else recompute on a CPU. It falls back to eager.

The environment variable ``MM_FRELU_IMPLEMENTATION`` overrides the config of a layer.
"""

import os
from collections import OrderedDict
from types import MappingProxyType
from typing import Callable, Dict, Hashable, List, NamedTuple, Optional, Tuple

from . import cpu, gpu, recompute
from .autograd import Plan
from .context import Context
from .spec import Description, Row

IMPLEMENTATIONS = ('auto', 'eager', 'recompute', 'numba', 'triton')
"""Values of ``implementation``: the backends, and ``'auto'``, which chooses one."""
AUTOMATIC = MappingProxyType(
    {'cuda': ('triton',), 'cpu': ('numba', 'recompute'), 'meta': ('recompute',)}
)
"""Backends that ``auto`` may choose for each device type, the fastest first. It falls back to eager. torch's meta device is used
to count memory; recompute saves the same tensors as the kernels."""

VARIABLE = 'MM_FRELU_IMPLEMENTATION'
MAX_PLANS = 4096
"""Number of cached choices. Detectors run with many shapes."""


class Choice(NamedTuple):
    """Chosen backend of an activation.

    Attributes:
        name: ``'eager'``, ``'recompute'``, ``'numba'`` or ``'triton'``.
        reason: Text that explains the choice.
    """

    name: str
    reason: str


EXPORTED = Choice('eager', 'the graph is traced or exported')

BACKENDS = MappingProxyType(
    {'triton': gpu.BACKEND, 'numba': cpu.BACKEND, 'recompute': recompute.BACKEND}
)
"""All backends except eager."""


def requested(implementation: str) -> Tuple[str, str]:
    """Return the requested backend, and where the request comes from.

    Args:
        implementation: Value in the config of the layer.

    Returns:
        The value that takes precedence, and a description of its source.

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
    # A backend that works in a process may not work in its children.
    os.register_at_fork(after_in_child=_selected.clear)

APART = 'apart'
"""Name of the choice to compute the norms separately, and to choose a backend again for their sum."""


def select(
    implementation: str,
    key: Hashable,
    row: Row,
    describe: Callable[[], Description],
    has_norms: bool = False,
) -> Tuple[Choice, Optional[Plan]]:
    """Choose the backend for a layer and a kind of input. The choice is cached for each key.

    ``auto`` chooses the first backend of :data:`AUTOMATIC` that supports the case, and falls back to eager. A backend that is
    requested by name is used or raises an error. Traced or exported graphs do not call this function. They always use eager,
    whose ops all formats support.

    Args:
        implementation: Value in the config of the layer.
        key: Everything that the choice depends on, except ``implementation`` and the context.
        row: The tensors, features first.
        describe: Function that returns a :data:`.Description`.
        has_norms: Whether the specification includes norms before the activation. A backend that does not support them may
            support the activation alone.

    Returns:
        The choice and its plan. The plan is None for eager and :data:`APART`.

    Raises:
        ValueError: If there is no such implementation.
        RuntimeError: If the requested backend does not support this case.
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
            # FakeTensorMode, make_fx and others would not see the kernels, and would record a graph without them.
            reason = 'a TorchDispatchMode is active'
        if reason is None:
            where = ', from before the norm' if has_norms else ''
            return Choice(name, _explain(source + where, refusals)), backend.plan(spec, row)
        refusals.setdefault(reason, []).append(name)
    if has_norms and refusals:
        return Choice(APART, _explain(source, refusals)), None
    if word != 'auto':
        raise unsupported_error(source, next(iter(refusals)))
    return Choice('eager', _explain(source, refusals)), None


def unsupported_error(source: str, reason: str) -> RuntimeError:
    """Return the error for a requested backend that does not support a layer."""
    return RuntimeError(
        f"{source} does not support this layer ({reason}). Use 'auto', which falls back, or 'eager'."
    )


def _explain(source: str, refusals: Dict[str, List[str]]) -> str:
    """Describe the source of a choice, and why faster backends were not chosen."""
    reasons = [f'not {" or ".join(names)}: {reason}' for reason, names in refusals.items()]
    return '; '.join([source, *reasons])
