"""Several processes: the steps that MMEngine and torchrun leave out.

Torchrun ends its workers when it fails or is told to stop, but not when it is killed: they would go on and keep their GPUs.

Without a GPU MMEngine's ``init_dist`` calls ``torch.cuda.set_device`` and so fails on a CPU-only machine. When there is no GPU the process
group is made here, with gloo, from the same environment variables; the Runner finds it and goes on.
"""

import ctypes
import datetime
import os
import signal
import subprocess
import sys

import torch
from mmengine.config import Config
from torch import distributed

from .errors import UserError

# What each launcher sets, in the order rank, world size, local rank.
_RANK_VARIABLES = (
    ('pytorch', ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')),
    ('slurm', ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID')),
    ('mpi', ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK')),
)

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_torchrun() -> None:
    """Let the kernel end this process when the torchrun that started it is gone. Only Linux can; elsewhere nothing changes.

    A torchrun that is killed before this call is noticed when the process group is made, which ends in a timeout.
    """
    if distributed.is_torchelastic_launched() and sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def prepare_distributed(cfg: Config) -> None:
    """Check the launcher's environment and, without CUDA, start a gloo process group.

    Args:
        cfg (Config): ``launcher`` and ``env_cfg.dist_cfg`` are read; the backend is set to gloo where nccl cannot work, which
            :class:`~mm_frelu.engine.runner.GuardedRunner` logs.

    Raises:
        UserError: When the launcher has not started this process.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    names = dict(_RANK_VARIABLES)[launcher]
    missing = [name for name in names[:2] if name not in os.environ]
    if missing:
        script = (
            'slurm_train.sh or slurm_test.sh'
            if launcher == 'slurm'
            else 'dist_train.sh or dist_test.sh'
        )
        raise UserError(
            f'--launcher {launcher}: the environment has no {" and ".join(missing)}, so this process was not started by '
            f'it. Use tools/{script}, or leave --launcher out for a single process.'
        )
    if torch.cuda.is_available() or distributed.is_initialized():
        return
    for name, source in zip(('RANK', 'WORLD_SIZE', 'LOCAL_RANK'), names):
        os.environ[name] = os.environ.get(source, '0')
    os.environ.setdefault('MASTER_PORT', '29500')
    os.environ.setdefault('MASTER_ADDR', _first_slurm_host())
    dist_cfg = cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', {})
    dist_cfg['backend'] = 'gloo'
    timeout = datetime.timedelta(seconds=dist_cfg.get('timeout', 1800))
    distributed.init_process_group('gloo', timeout=timeout)


def close_distributed() -> None:
    """Leave the process group, so that PyTorch does not warn at exit."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _first_slurm_host() -> str:
    """The node of rank 0; ``127.0.0.1`` where Slurm is not there to ask."""
    nodes = os.environ.get('SLURM_NODELIST', '')
    if not nodes:
        return '127.0.0.1'
    try:
        names = subprocess.run(
            ['scontrol', 'show', 'hostnames', nodes], capture_output=True, text=True, check=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return '127.0.0.1'
    return names[0] if names else '127.0.0.1'
