"""Test a checkpoint with the options of tools/test.py."""

import argparse
import logging
import os
from pathlib import Path
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
from .output_names import keep_folders
from .test_options import apply_out, apply_show, apply_tta
from .unlabelled import require_output, take_out_labels
from .write_file import put_file


def evaluate(cfg: Config, args: argparse.Namespace) -> Dict[str, float]:
    """Check everything that the command names, then test.

    Args:
        cfg (Config): The config with the common options applied.
        args (argparse.Namespace): ``checkpoint``, ``out``, ``show``, ``show_dir``, ``wait_time``, ``tta``.

    Returns:
        Dict[str, float]: The metrics.

    Raises:
        UserError: When the config, the data, the checkpoint or an option is wrong.
    """
    check_checkpoint_file(args.checkpoint, 'checkpoint')
    require_keys(cfg, ('test_dataloader', 'test_cfg', 'test_evaluator', 'model'), 'testing')
    require_library(cfg)
    take_out_labels(cfg)
    with explained(cfg, 'test_dataloader'):
        check_datasets(cfg, ('test_dataloader',))
    cfg.load_from = args.checkpoint
    cfg.resume = False
    partial = apply_out(cfg, args.out)
    require_output(cfg)
    apply_show(cfg, args.show, args.show_dir, args.wait_time)
    if args.tta:
        apply_tta(cfg)
    try:
        with explained(cfg, 'test_dataloader') as built:
            runner = build_runner(cfg, strict=True)
            built.append(runner)
            _place_pictures(runner, args.show_dir)
            keep_folders(runner)
            _tell_of_letters(runner, args)
            metrics = runner.test()
        if is_main_process():
            _finish(args, partial, runner)
    finally:
        close_distributed()
    return metrics


def _place_pictures(runner: Runner, show_dir: Optional[str]) -> None:
    """Make the hooks of mmpretrain and mmpose save pictures in the folder of the run.

    mmpretrain's hook writes to the current directory, and mmpose's one folder deeper with each batch.
    """
    for hook in runner.hooks:
        if show_dir and type(hook).__name__ in ('VisualizationHook', 'PoseVisualizationHook'):
            hook.out_dir = os.path.abspath(os.path.join(runner.log_dir, show_dir))


def _tell_of_letters(runner: Runner, args: argparse.Namespace) -> None:
    """Warn if class names have letters that OpenCV cannot draw. mmseg draws names with OpenCV's fonts, which are ASCII only."""
    names = (getattr(runner.test_dataloader.dataset, 'metainfo', None) or {}).get('classes') or ()
    foreign = [name for name in names if not str(name).isascii()]
    drawn = any(type(hook).__name__ == 'SegVisualizationHook' for hook in runner.hooks)
    if foreign and drawn and (args.show or args.show_dir):
        print_log(
            f'mmseg cannot draw {foreign[0]!r} into pictures and writes "?" instead of its letters; the colours are right. '
            'tools/visualize_segmentation.py draws such names.',
            'current',
            logging.WARNING,
        )


def _finish(args: argparse.Namespace, partial: Optional[Path], runner: Runner) -> None:
    """Move the predictions to their final name, and log where the results are."""
    if args.out:
        if partial is not None:
            put_file(partial, args.out)
        number = f' (files: {_count(args.out)})' if os.path.isdir(args.out) else ''
        print_log(f'Predictions are in {os.path.abspath(args.out)}{number}', 'current')
    if args.show_dir:
        folder = os.path.abspath(os.path.join(runner.log_dir, args.show_dir))
        print_log(f'{_count(folder)} pictures are in {folder}', 'current')
        if runner.world_size > 1:
            print_log(
                f'They are only those of the first of {runner.world_size} processes: mmdet and mmseg draw in that one only. '
                'Run a single process to draw all images.',
                'current',
                logging.WARNING,
            )


def _count(folder: str) -> int:
    """Count the files in a folder and its subfolders."""
    return sum(len(names) for _, _, names in os.walk(folder))
