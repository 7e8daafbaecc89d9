"""Test a checkpoint as tools/test.py asks for it."""

import argparse
import os
from typing import Dict, Optional

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner

from mm_frelu.datasets.check_dataset import check_datasets

from .arguments import require_library
from .checkpoint_file import check_checkpoint_file
from .distributed import close_distributed
from .launch import build_runner, require_keys
from .library_errors import explained
from .test_options import apply_out, apply_show, apply_tta, partial_file
from .unlabelled import require_output, take_out_labels


def evaluate(cfg: Config, args: argparse.Namespace) -> Dict[str, float]:
    """Check everything that the command names, then test.

    Args:
        cfg (Config): The config with the common options applied.
        args (argparse.Namespace): ``checkpoint``, ``out``, ``show``, ``show_dir``, ``wait_time``, ``tta``.

    Returns:
        Dict[str, float]: The metrics.

    Raises:
        UserError: When something is the user's to mend.
    """
    check_checkpoint_file(args.checkpoint, 'checkpoint')
    require_keys(cfg, ('test_dataloader', 'test_cfg', 'test_evaluator', 'model'), 'testing')
    require_library(cfg)
    take_out_labels(cfg)
    check_datasets(cfg, ('test_dataloader',))
    cfg.load_from = args.checkpoint
    cfg.resume = False
    apply_out(cfg, args.out)
    require_output(cfg)
    apply_show(cfg, args.show, args.show_dir, args.wait_time)
    if args.tta:
        apply_tta(cfg)
    try:
        with explained(cfg, 'test_dataloader') as built:
            runner = build_runner(cfg, strict=True)
            built.append(runner)
            _place_pictures(runner, args.show_dir)
            metrics = runner.test()
        if is_main_process():
            _finish(args, runner.log_dir)
    finally:
        close_distributed()
    return metrics


def _place_pictures(runner: Runner, show_dir: Optional[str]) -> None:
    """Move the pictures of mmpretrain, whose hook writes where the command was started, into the folder of the run."""
    for hook in runner.hooks:
        if show_dir and type(hook).__name__ == 'VisualizationHook':
            hook.out_dir = os.path.join(runner.log_dir, show_dir)


def _finish(args: argparse.Namespace, log_dir: str) -> None:
    """Give the predictions their name and say where everything is."""
    if args.out:
        if partial_file(args.out).exists():
            os.replace(partial_file(args.out), args.out)
        print_log(f'Predictions are in {os.path.abspath(args.out)}', 'current')
    if args.show_dir:
        folder = os.path.abspath(os.path.join(log_dir, args.show_dir))
        number = sum(len(names) for _, _, names in os.walk(folder))
        print_log(f'{number} pictures are in {folder}', 'current')
