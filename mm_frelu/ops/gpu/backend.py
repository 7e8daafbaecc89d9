"""Backend ``triton``. Triton is imported only if the backend can be used."""

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any, Optional

import torch
from mmengine.utils import digit_version

from ..autograd import Backend, Plan
from ..spec import Row

OLDEST_TRITON = '3.6'
"""The oldest version that the kernels are compiled and tested with."""

PLANS = MappingProxyType(
    {
        'FunnelSpec': ('.funnel', 'TritonFunnelPlan'),
        'PiecewiseSpec': ('.dynamic', 'TritonPiecewisePlan'),
        'PoolSpec': ('.dynamic', 'TritonPoolPlan'),
        'ProjectSpec': ('.dynamic', 'TritonPoolPlan'),
    }
)
"""Module and class of the plan for each specification."""


def is_interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels on the CPU."""
    return os.environ.get('TRITON_INTERPRET') == '1'


def missing() -> Optional[str]:
    """Return why this installation has no fused kernels, or None if it has them."""
    return _missing()


# torch.compile cannot trace it. torch.compiler.assume_constant_result sets this attribute too, but imports torch._dynamo, which delays
# the start of every process.
missing._dynamo_marked_constant = True  # type: ignore[attr-defined]


@cache
def _missing() -> Optional[str]:
    try:
        found = version('triton')
    except PackageNotFoundError:
        return 'triton is not installed'
    if digit_version(found) < digit_version(OLDEST_TRITON):
        return f'it needs triton {OLDEST_TRITON} or later, found {found}'
    if not is_interpreted() and not (torch.cuda.is_available() and torch.version.cuda):
        return 'there is no CUDA device'
    return None


def unsupported_reason(spec: Any, row: Row) -> Optional[str]:
    """Return why the kernels do not support a specification for tensors like these, or None if they do."""
    x = row[0]
    if missing() is not None:
        return missing()
    if type(spec).__name__ not in PLANS:
        return f'there are no kernels for {type(spec).__name__}'
    if not x.is_cuda and not is_interpreted():
        return f'the input is on {x.device.type}, but the kernels run on CUDA'
    return _module(spec).unsupported_reason(spec, row)


def _module(spec: Any) -> Any:
    # Import statements, because torch.compile does not support importlib.
    if PLANS[type(spec).__name__][0] == '.funnel':
        from . import funnel

        return funnel
    from . import dynamic

    return dynamic


def plan(spec: Any, row: Row) -> Plan:
    """Return the plan for a specification and tensors like these."""
    return getattr(_module(spec), PLANS[type(spec).__name__][1])(spec, row)


BACKEND = Backend(unsupported_reason, plan)
