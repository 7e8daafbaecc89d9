"""The module that takes the place of a missing ``mmcv._ext``."""

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
    """A few ops in torch; every other name is a function that says what is missing when it is called.

    ``mmcv.ops`` asks at import whether each function is there, for 100 of them, so all names are. Its spec has no
    loader: :func:`mmcv.utils.ext_loader.check_ops_exist` still answers False. MMEngine's ``mmcv_full_available`` is
    True, which to MMEngine means that the classes of ``mmcv.ops`` can be imported.
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
        """Answer for the environment report of a run's log."""
        return 'n/a (ops not compiled, mm_frelu.compat stands in)'

    @staticmethod
    def get_compiling_cuda_version() -> str:
        """Answer for the environment report of a run's log, mmcv's own where it has no CUDA."""
        return 'not available'

    def __getattr__(self, name: str) -> Callable:
        # Import machinery, inspect and debuggers look for names of their own kind: those are not ops.
        if name.startswith('_'):
            raise AttributeError(
                f'module {NAME!r} (stand-in of mm_frelu) has no attribute {name!r}'
            )
        return functools.partial(_raise_missing, name)


def install_missing_ops() -> bool:
    """Put the stand-in in the place of ``mmcv._ext`` if, and only if, mmcv has no compiled ops.

    Call it before ``import mmdet`` and ``import mmseg``; ``import mm_frelu`` does. It prints nothing; the first call of
    one of the ops warns, in the main process only. Calling it again changes nothing.

    Returns:
        Whether the stand-in is in use.

    Raises:
        ImportError: If compiled ops are there but do not load. They are not hidden, for the user believes to have
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
    """The op, with a warning before the first call of any of them: many programs never need one."""

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
            'somewhat slower. Any other op raises an error that says how to install the compiled ones.',
            stacklevel=3,
        )


def _load_compiled(spec: ModuleSpec) -> None:
    try:
        importlib.import_module(NAME)
    except ImportError as error:
        raise ImportError(
            f'mmcv has compiled ops ({spec.origin}), but they do not load: {error}. They were built for another '
            f'torch, CUDA or Python than this one (torch {torch.__version__}). Install mmcv anew for it, or '
            f'uninstall it and take one without compiled ops. {how_to_install()}'
        ) from error


def _is_main_process() -> bool:
    """Whether this process speaks for the run; true before torch.distributed is set up, too."""
    if multiprocessing.parent_process() is not None:  # a worker of a data loader
        return False
    if is_distributed():
        return get_rank() == 0
    ranks = (os.environ.get(key) for key in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    return next((rank for rank in ranks if rank is not None), '0') == '0'


def _raise_missing(name: str, *args, **kwargs) -> None:
    raise MissingOpError(missing_op_message(name, name))
