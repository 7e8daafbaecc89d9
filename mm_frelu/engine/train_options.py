"""The options of tools/train.py, and the functions that write them into the config."""

import argparse
import logging
from typing import List, Optional

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from .checkpoint_file import check_checkpoint_file, is_remote
from .errors import UserError
from .resume_file import newest_whole_checkpoint, require_whole


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--amp``, ``--auto-scale-lr`` and ``--resume``."""
    parser.add_argument('--amp', action='store_true', help='train in mixed precision (needs a GPU)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by (GPUs x batch size) / auto_scale_lr.base_batch_size of the config',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='continue training from PATH, with its optimizer and schedules; without PATH, from the newest intact '
        'checkpoint of the work folder, if there is one',
    )


def apply_train_options(cfg: Config, args: argparse.Namespace) -> List[str]:
    """Write the options of :func:`add_train_arguments` into ``cfg``.

    Returns:
        Messages for the training log.

    Raises:
        UserError: When the config does not support an option.
    """
    if args.amp:
        enable_amp(cfg)
    if args.auto_scale_lr:
        enable_auto_scale_lr(cfg)
    notices = resume(cfg, args.resume)
    if cfg.get('load_from') and not cfg.get('resume'):
        check_checkpoint_file(cfg.load_from, 'load_from')
    return notices


def enable_amp(cfg: Config) -> None:
    """Replace ``OptimWrapper`` with ``AmpOptimWrapper`` and a dynamic loss scale."""
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind == 'AmpOptimWrapper':
        print_log('--amp: mixed precision is already on in the config.', 'current', logging.WARNING)
    elif kind != 'OptimWrapper':
        raise UserError(
            f'--amp supports only optim_wrapper.type OptimWrapper, and the config has {kind}. Leave --amp out, and enable mixed '
            f'precision in that wrapper.'
        )
    else:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if not torch.cuda.is_available():
        raise UserError(
            '--amp: mixed precision needs a GPU, and PyTorch finds none. Leave --amp out.'
        )


def enable_auto_scale_lr(cfg: Config) -> None:
    """Enable MMEngine's linear scaling rule, which the Runner applies after it builds the optimizer."""
    scaling = cfg.get('auto_scale_lr') or {}
    if 'base_batch_size' not in scaling:
        raise UserError(
            '--auto-scale-lr: the config does not say for which batch size its learning rate was chosen. Add '
            'auto_scale_lr = dict(enable=False, base_batch_size=N), where N is GPUs x images per GPU (8 for 4xb2 in the name).'
        )
    cfg.auto_scale_lr.enable = True


def resume(cfg: Config, source: Optional[str]) -> List[str]:
    """Continue from ``source``: a path, or ``'auto'`` for the newest intact checkpoint of the work folder.

    With ``'auto'`` and no checkpoint yet, training starts from the beginning, with ``load_from`` if the config has it. A job that
    may be stopped can therefore always be started with ``--resume``. ``resume=True`` in a config means the path in its ``load_from``,
    or ``'auto'`` without one.

    Returns:
        Messages for the log.

    Raises:
        UserError: When there is no intact checkpoint to continue from.
    """
    key = '--resume'
    if source is None:
        if not cfg.get('resume'):
            return []
        source, key = cfg.get('load_from') or 'auto', 'load_from'
    if source != 'auto':
        check_checkpoint_file(source, key)
        if not is_remote(source):
            require_whole(source, key)
        cfg.resume, cfg.load_from = True, source
        return []
    found, notices = newest_whole_checkpoint(cfg)
    if found is None:
        cfg.resume = False
        return [
            *notices,
            f'--resume: {cfg.work_dir} has no checkpoint yet; training starts from the beginning.',
        ]
    cfg.resume, cfg.load_from = True, found
    return notices
