"""The options of tools/test.py, and the functions that write them into the config."""

import argparse
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config

from mm_frelu.datasets.check_dataset import leaf_datasets

from .arguments import task_of
from .config_types import kind_of, metrics_of
from .errors import UserError
from .output_folder import require_writable
from .write_file import partial_file, require_target

_HOOKS = {
    'detection': 'DetVisualizationHook',
    'segmentation': 'SegVisualizationHook',
    'classification': 'VisualizationHook',
    'keypoints': 'PoseVisualizationHook',
}
_VISUALIZERS = {
    'detection': 'DetLocalVisualizer',
    'segmentation': 'SegLocalVisualizer',
    'classification': 'UniversalVisualizer',
    'keypoints': 'PoseLocalVisualizer',
}

_OUT_DIR = ('classification', 'keypoints')
"""Tasks whose hook is switched on by ``enable`` and writes to ``out_dir``."""


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``, ``--show``, ``--show-dir``, ``--wait-time`` and ``--tta``."""
    parser.add_argument(
        '--out',
        help='save the predictions: to a file X.pkl for detection, classification and keypoints, to a DIRECTORY of PNG files with '
        'one class id per pixel for segmentation',
    )
    parser.add_argument('--show', action='store_true', help='show each picture in a window')
    parser.add_argument(
        '--show-dir',
        help='save a picture of every image in this folder; a relative path is below <work folder>/<time stamp>/',
    )
    parser.add_argument('--wait-time', type=float, default=2, help='seconds per picture for --show')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation with tta_model and tta_pipeline of the config; detection configs without them use '
        'flipping',
    )


def apply_out(cfg: Config, out: Optional[str]) -> Optional[Path]:
    """Make the evaluator write predictions to ``out``.

    Returns:
        For a pickle, the temporary file that the evaluator writes, to be moved to ``out`` at the end; otherwise None.

    Raises:
        UserError: When ``out`` is a folder and the task writes a file, or the other way round.
    """
    if out is None:
        return None
    partial = None
    task = task_of(cfg)
    pickled = out.endswith(('.pkl', '.pickle'))
    evaluators = [metric for _, metric in metrics_of(cfg, 'test_evaluator')]
    if task == 'segmentation':
        if pickled or os.path.isfile(out):
            raise UserError(
                f'--out {out}: for segmentation this is a DIRECTORY, which gets one PNG per image. Give a folder name.'
            )
        writers = [
            item for item in evaluators if kind_of(item) in ('CityscapesMetric', 'IoUMetric')
        ]
        if not writers:
            raise UserError(
                f'--out: no metric of test_evaluator writes PNG files; it has {[kind_of(item) for item in evaluators]}. '
                "Add dict(type='IoUMetric', iou_metrics=['mIoU'])."
            )
        require_writable('--out', out)
        # The metrics create the folder in rank 0 only, and another rank may write first.
        os.makedirs(out, exist_ok=True)
        # CityscapesMetric removes its folder at the end unless keep_results is True.
        writers[0].update(output_dir=out, keep_results=True)
    else:
        if not pickled:
            raise UserError(
                f'--out {out}: for {task} this is a pickle FILE. Give a name that ends with .pkl.'
            )
        require_target('--out', out)
        partial = partial_file(out, '.partial.pkl')  # the metric requires this ending
        kind = 'DumpDetResults' if task == 'detection' else 'DumpResults'
        evaluators.append(dict(type=kind, out_file_path=str(partial)))
    cfg.test_evaluator = evaluators
    return partial


def apply_show(cfg: Config, show: bool, show_dir: Optional[str], wait_time: float) -> None:
    """Make the visualisation hook draw every image.

    Raises:
        UserError: When there is no display for ``--show``, or when both options are given for a task other than detection.
    """
    if not show and not show_dir:
        return
    task = task_of(cfg)
    if show and show_dir and task != 'detection':
        raise UserError(f'--show and --show-dir: {task} does not support both. Choose one.')
    if (
        show
        and os.name == 'posix'
        and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))
    ):
        raise UserError('--show: there is no display (DISPLAY is not set). Use --show-dir FOLDER.')
    # Set, then read back: a Config stores copies of the dicts that it is given. None switches a default off in MMEngine.
    cfg.default_hooks = cfg.get('default_hooks') or {}
    cfg.default_hooks.visualization = cfg.default_hooks.get('visualization') or dict(
        type=_HOOKS[task]
    )
    cfg.visualizer = cfg.get('visualizer') or dict(type=_VISUALIZERS[task], name='visualizer')
    hook = cfg.default_hooks.visualization
    switch = 'enable' if task in _OUT_DIR else 'draw'
    hook.update({switch: True, 'interval': 1})
    if show:
        hook.update(show=True, wait_time=wait_time)
    if not show_dir:
        return
    if os.path.isabs(show_dir):
        require_writable('--show-dir', show_dir)
    if task == 'segmentation':
        # The backend writes into <work folder>/<time stamp>/vis_data/<img_save_dir>.
        folder = show_dir if os.path.isabs(show_dir) else os.path.join('..', show_dir)
        others = [
            backend
            for backend in cfg.visualizer.get('vis_backends') or []
            if backend.get('type') != 'LocalVisBackend'
        ]
        local = dict(type='LocalVisBackend', img_save_dir=folder)
        cfg.visualizer.vis_backends = [local, *others]
    else:
        hook['out_dir' if task in _OUT_DIR else 'test_out_dir'] = show_dir


def apply_tta(cfg: Config) -> None:
    """Wrap the model for test-time augmentation and replace the test pipeline.

    Raises:
        UserError: When the config lacks ``tta_model`` or ``tta_pipeline`` and the task has no default.
    """
    task = task_of(cfg)
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
    if missing and task != 'detection':
        if task == 'keypoints':
            raise UserError(
                '--tta: for keypoints test-time augmentation is the flip of model.test_cfg.flip_test, without this option.'
            )
        kind = 'SegTTAModel' if task == 'segmentation' else 'AverageClsScoreTTA'
        raise UserError(
            f'--tta: the config has no {" and no ".join(missing)}. Add tta_model = dict(type={kind!r}) and a tta_pipeline '
            f"whose step dict(type='TestTimeAug', transforms=[...]) lists scales and flips."
        )
    leaves = [leaf for _, leaf in leaf_datasets(cfg.test_dataloader.dataset, '')]
    if 'tta_model' not in cfg:
        merge = dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
        cfg.tta_model = dict(type='DetTTAModel', tta_cfg=merge)
    if 'tta_pipeline' not in cfg:
        cfg.tta_pipeline = _flip_pipeline(leaves[0]['pipeline'])
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    for leaf in leaves:
        leaf['pipeline'] = cfg.tta_pipeline


def _flip_pipeline(pipeline: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Return a pipeline with each image unchanged and flipped, like mmdet's default. The packing step must keep the flip."""
    flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
    keys = (
        'img_id',
        'img_path',
        'ori_shape',
        'img_shape',
        'scale_factor',
        'flip',
        'flip_direction',
    )
    pack = dict(type='PackDetInputs', meta_keys=keys)
    return [*pipeline[:-1], dict(type='TestTimeAug', transforms=[flips, [pack]])]
