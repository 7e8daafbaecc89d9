"""The module that replaces a missing ``mmcv._ext``."""

import functools
import importlib
import multiprocessing
import os
import sys
import warnings
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Callable

import mmcv
import torch
from mmengine.dist import get_rank, is_distributed

from .focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from .missing_op import MissingOpError, how_to_install, missing_op_message
from .nms import nms, softnms
from .roi_align import roi_align_backward, roi_align_forward

NAME = 'mmcv._ext'


class StandInOps(ModuleType):
    """Implement a few ops in torch. Any other name is a function that raises an error when it is called.

    When imported, ``mmcv.ops`` checks that about 100 functions exist, so every name exists. The spec of the module has no
    loader, so :func:`mmcv.utils.ext_loader.check_ops_exist` still returns False. MMEngine's ``mmcv_full_available`` returns
    True, which means to MMEngine that the classes of ``mmcv.ops`` can be imported.
    """

    def __init__(self) -> None:
        super().__init__(NAME, doc='Stand-in of mm_frelu for the missing compiled ops of mmcv.')
        self.__spec__ = ModuleSpec(NAME, loader=None, origin='mm_frelu.compat')
        self.__package__ = 'mmcv'
        for op in (
            nms,
            softnms,
            sigmoid_focal_loss_forward,
            sigmoid_focal_loss_backward,
            softmax_focal_loss_forward,
            softmax_focal_loss_backward,
            roi_align_forward,
            roi_align_backward,
        ):
            setattr(self, op.__name__, _warning_at_first_call(op))

    @staticmethod
    def get_compiler_version() -> str:
        """Return the entry for the environment report in the log."""
        return 'n/a (ops not compiled, replaced by mm_frelu.compat)'

    @staticmethod
    def get_compiling_cuda_version() -> str:
        """Return the entry for the environment report in the log, the same as mmcv's without CUDA."""
        return 'not available'

    def __getattr__(self, name: str) -> Callable:
        # The import system, inspect and debuggers look up private names, which are not ops.
        if name.startswith('_'):
            raise AttributeError(
                f'module {NAME!r} (stand-in of mm_frelu) has no attribute {name!r}'
            )
        return functools.partial(_raise_missing, name)


def install_missing_ops() -> bool:
    """Replace ``mmcv._ext`` by the stand-in if mmcv has no compiled ops.

    Call it before ``import mmdet`` and ``import mmseg``; ``import mm_frelu`` does this. It prints nothing. The first call of
    one of the ops warns, in the main process only. Calling the function again has no effect.

    Returns:
        Whether the stand-in is in use.

    Raises:
        ImportError: If compiled ops are installed but do not load. They are not replaced, because the user expects to use
            them.
    """
    present = sys.modules.get(NAME)
    if present is not None:
        return isinstance(present, StandInOps)
    spec = find_spec(NAME)
    if spec is not None:
        _load_compiled(spec)
        return False
    stand_in = StandInOps()
    sys.modules[NAME] = stand_in
    mmcv._ext = stand_in
    return True


def _warning_at_first_call(op: Callable) -> Callable:
    """Wrap an op so that the first call of any op warns. Many programs never call one."""

    @functools.wraps(op)
    def warn_and_call(*args, **kwargs):
        _warn_once()
        return op(*args, **kwargs)

    return warn_and_call


@functools.cache
def _warn_once() -> None:
    if _is_main_process():
        warnings.warn(
            f'mmcv {mmcv.__version__} has no compiled ops. mm_frelu computes NMS, focal loss and RoIAlign in plain torch, '
            'which is somewhat slower. Any other op raises an error that says how to install the compiled ops.',
            stacklevel=3,
        )


def _load_compiled(spec: ModuleSpec) -> None:
    try:
        importlib.import_module(NAME)
    except ImportError as error:
        raise ImportError(
            f'mmcv has compiled ops ({spec.origin}), but they do not load: {error}. They were built for another '
            f'version of torch, CUDA or Python (installed: torch {torch.__version__}). Reinstall mmcv for this version, or '
            f'replace it by an mmcv without compiled ops. {how_to_install()}'
        ) from error


def _is_main_process() -> bool:
    """Whether this is the main process of the run. Also works before torch.distributed is initialised."""
    if multiprocessing.parent_process() is not None:  # a worker of a data loader
        return False
    if is_distributed():
        return get_rank() == 0
    ranks = (os.environ.get(key) for key in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    return next((rank for rank in ranks if rank is not None), '0') == '0'


def _raise_missing(name: str, *args, **kwargs) -> None:
    raise MissingOpError(missing_op_message(name, name))
