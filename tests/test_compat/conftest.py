"""Fixtures: mmcv's ops as modules, once compiled and once with the stand-in below them."""

import importlib
import sys

import pytest
from op_cases import NO_COMPILED_OPS, compiled_ops

from mm_frelu.compat import StandInOps, install_missing_ops

install_missing_ops()


@pytest.fixture
def compiled():
    """``mmcv._ext`` as it was compiled."""
    ops = compiled_ops()
    if ops is None:
        pytest.skip(NO_COMPILED_OPS)
    return ops


@pytest.fixture
def mmcv_ops(monkeypatch):
    """``mmcv.ops`` on the stand-in, also where compiled ops are installed."""
    ops = importlib.import_module('mmcv.ops')
    for name in ('nms', 'focal_loss', 'roi_align'):
        # By way of sys.modules: the package's attribute of that name is the function.
        monkeypatch.setattr(sys.modules[f'mmcv.ops.{name}'], 'ext_module', StandInOps())
    return ops
