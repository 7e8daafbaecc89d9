"""Set up and shut down distributed processes, where MMEngine and torchrun are not enough.

torchrun stops its workers when it fails or is asked to stop, but not when it is killed. They would continue and keep their GPUs.

MMEngine's ``init_dist`` calls ``torch.cuda.set_device`` and so fails on a machine without a GPU. There, this module creates the process
group with gloo, from the same environment variables. The Runner uses an existing process group.
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

# Environment variables of each launcher: rank, world size, local rank.
_RANK_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_torchrun() -> None:
    """Make the kernel stop this process when the torchrun that started it ends. This works on Linux only.

    If torchrun is killed before this call, creating the process group times out.
    """
    if distributed.is_torchelastic_launched() and sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def prepare_distributed(cfg: Config) -> None:
    """Check the launcher's environment and, without CUDA, start a gloo process group.

    Args:
        cfg (Config): ``launcher`` and ``env_cfg.dist_cfg`` are read. Without a GPU the backend is set to gloo, which
            :class:`~mm_frelu.engine.runner.GuardedRunner` logs.

    Raises:
        UserError: When the launcher has not started this process.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    names = _RANK_VARIABLES[launcher]
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
    """Destroy the process group, so that PyTorch does not warn at exit."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _first_slurm_host() -> str:
    """Return the node of rank 0, or ``127.0.0.1`` without Slurm."""
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
