"""The options that tools/train.py and tools/test.py share, and reading configs."""

import argparse
import difflib
import importlib
import os
from pathlib import Path

from mmengine.config import Config

from mm_frelu.compat import import_mmpose

from .act_options import apply_act_options, work_dir_suffix
from .config_errors import config_error
from .distributed import end_with_torchrun
from .errors import UserError
from .output_folder import require_writable
from .packaged_configs import is_packaged, locate
from .safe_load import let_mmengine_load_safely
from .settings import SettingsAction, merge_settings

SCOPES = {
    'mmdet': 'detection',
    'mmseg': 'segmentation',
    'mmpretrain': 'classification',
    'mmpose': 'keypoints',
}
PACKAGES = {
    'mmdet': 'onedl-mmdetection pycocotools',
    'mmseg': 'onedl-mmsegmentation cityscapesscripts',
    'mmpretrain': 'onedl-mmpretrain torchvision',
}


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--work-dir``, ``--cfg-options``, ``--launcher`` and ``--local-rank``."""
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints; default: work_dir of the config, then ./work_dirs/<config name>',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='change settings of the config: a.b=c; lists as key="[a,b]" or key=a,b; nested lists as '
        'key="[(a,b),(c,d)]"; an element of a list as pipeline.0.type=X. Quote brackets and leave out spaces',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher; dist_*.sh and slurm_*.sh set it',
    )
    # Old launchers pass the rank as an option, torchrun as an environment variable.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config of a tool and apply the options of :func:`add_common_arguments`.

    Raises:
        UserError: When the file does not exist, or the work folder cannot be written to.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.launcher == 'pytorch':
        end_with_torchrun()
    cfg = read_config(args.config)
    cfg.launcher = args.launcher
    merge_settings(cfg, args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = Path(args.config).stem + work_dir_suffix(args)
        cfg.work_dir = os.path.join('./work_dirs', name)
    if hasattr(args, 'act'):
        apply_act_options(cfg, args)
    require_writable('--work-dir' if args.work_dir else 'work_dir', cfg.work_dir)
    return cfg


def read_config(path: str) -> Config:
    """Read a config file. The error for a wrong name suggests the closest existing one.

    Args:
        path: A file, or ``library::path`` of a config inside an installed library.

    Raises:
        UserError: When the file does not exist, or when it or a file of its ``_base_`` cannot be read.
    """
    let_mmengine_load_safely()  # every tool starts here, and loads checkpoints later
    file = locate(path) if is_packaged(path) else Path(path)
    if not file.is_file():
        folder = file if file.is_dir() else file.parent
        names = [entry.stem for entry in folder.glob('*.py')]
        nearest = difflib.get_close_matches(file.stem, names, n=1, cutoff=0.4)
        hint = f' Did you mean {folder / nearest[0]}.py?' if nearest else ''
        what = 'is a folder, not a config file' if file.is_dir() else 'there is no such file'
        raise UserError(f'config {path}: {what} (looked for {file.absolute()}).{hint}')
    try:
        return Config.fromfile(file)
    except Exception as error:  # a config is code
        raise config_error(str(file), error) from error


def require_library(cfg: Config) -> None:
    """Import the library of a config's ``default_scope``, or say how to install it.

    Raises:
        UserError: When it cannot be imported, for example mmpretrain without torchvision.
    """
    scope = cfg.get('default_scope')
    if scope not in SCOPES:
        return
    try:
        if scope == 'mmpose':
            import_mmpose()
        importlib.import_module(scope)
    except ImportError as error:
        if scope == 'mmpose':  # says all of it
            raise UserError(f'{cfg.filename}: {error}') from error
        raise UserError(
            f'{cfg.filename}: {SCOPES[scope]} needs {scope}, which cannot be imported ({error}). '
            f'Install it: pip install {PACKAGES[scope]}.'
        ) from error


def task_of(cfg: Config) -> str:
    """Return ``'detection'``, ``'segmentation'``, ``'classification'`` or ``'keypoints'``, by the config's ``default_scope``.

    Raises:
        UserError: For another scope.
    """
    scope = cfg.get('default_scope')
    if scope not in SCOPES:
        raise UserError(
            f'default_scope is {scope!r} in the config; expected one of {", ".join(SCOPES)}. Set it to the library that '
            'the types of the config come from.'
        )
    return SCOPES[scope]
