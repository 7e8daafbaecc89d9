"""What the options of tools/test.py mean, written into the config."""

import argparse
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config

from .arguments import task_of
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
    """Add ``--out``, ``--show``, ``--show-dir`` and ``--wait-time``; ``--tta`` is added beside them."""
    parser.add_argument(
        '--out',
        help='save the predictions: for detection, classification and keypoints a file X.pkl, for segmentation a DIRECTORY of PNG '
        'files with one class id per pixel',
    )
    parser.add_argument('--show', action='store_true', help='show each picture in a window')
    parser.add_argument(
        '--show-dir',
        help='save a picture of every image; a relative folder lies in <work folder>/<time stamp>/',
    )
    parser.add_argument('--wait-time', type=float, default=2, help='seconds per picture for --show')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation: tta_model and tta_pipeline of the config; for detection, flipping without them',
    )


def apply_out(cfg: Config, out: Optional[str]) -> Optional[Path]:
    """Make the evaluator write predictions to ``out``.

    Returns:
        For a pickle, the file that the evaluator writes, to be moved to ``out`` at the end; else None.

    Raises:
        UserError: When ``out`` is not the kind of thing that the task writes.
    """
    if out is None:
        return None
    partial = None
    task = task_of(cfg)
    pickled = out.endswith(('.pkl', '.pickle'))
    evaluators = _as_list(cfg.test_evaluator)
    if task == 'segmentation':
        if pickled or os.path.isfile(out):
            raise UserError(
                f'--out {out}: for segmentation this is a DIRECTORY, which gets one PNG per image. Give a folder name.'
            )
        writers = [item for item in evaluators if item['type'] in ('CityscapesMetric', 'IoUMetric')]
        if not writers:
            raise UserError(
                f'--out: no metric of test_evaluator writes PNG files; it has {[item["type"] for item in evaluators]}. '
                "Add dict(type='IoUMetric', iou_metrics=['mIoU'])."
            )
        require_writable('--out', out)
        # The metrics leave it to rank 0 to make the folder, and another rank may be quicker to write.
        os.makedirs(out, exist_ok=True)
        # CityscapesMetric removes its folder at the end unless it is told to keep it.
        writers[0].update(output_dir=out, keep_results=True)
    else:
        if not pickled:
            raise UserError(
                f'--out {out}: for {task} this is a pickle FILE. Give a name that ends with .pkl.'
            )
        require_target('--out', out)
        partial = partial_file(out, '.partial.pkl')  # the metric insists on the ending
        kind = 'DumpDetResults' if task == 'detection' else 'DumpResults'
        evaluators.append(dict(type=kind, out_file_path=str(partial)))
    cfg.test_evaluator = evaluators
    return partial


def apply_show(cfg: Config, show: bool, show_dir: Optional[str], wait_time: float) -> None:
    """Make the visualisation hook draw every image.

    Raises:
        UserError: When there is no screen for ``--show``, or both are asked of mmseg, which then saves nothing.
    """
    if not show and not show_dir:
        return
    task = task_of(cfg)
    if show and show_dir and task != 'detection':
        raise UserError(
            f'--show and --show-dir: for {task} pictures are shown or saved, not both. Choose one.'
        )
    if (
        show
        and os.name == 'posix'
        and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))
    ):
        raise UserError(
            '--show: there is no screen here (DISPLAY is not set). Use --show-dir FOLDER.'
        )
    # Set, then read back: a Config stores its own copies of the dicts that it is given.
    cfg.setdefault('default_hooks', {})
    cfg.default_hooks.setdefault('visualization', dict(type=_HOOKS[task]))
    cfg.setdefault('visualizer', dict(type=_VISUALIZERS[task], name='visualizer'))
    hook = cfg.default_hooks['visualization']
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
    """Wrap the model for test-time augmentation and exchange the test pipeline.

    Raises:
        UserError: When the config does not say how, and the task has no default.
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
    leaves = _leaves(cfg.test_dataloader.dataset)
    if 'tta_model' not in cfg:
        merge = dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
        cfg.tta_model = dict(type='DetTTAModel', tta_cfg=merge)
    if 'tta_pipeline' not in cfg:
        cfg.tta_pipeline = _flip_pipeline(leaves[0]['pipeline'])
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    for leaf in leaves:
        leaf['pipeline'] = cfg.tta_pipeline


def _flip_pipeline(pipeline: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Every image as it is and flipped, as mmdet's own default; the packing step then has to keep the flip."""
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


def _leaves(dataset: Dict[str, Any]) -> List[Dict[str, Any]]:
    if isinstance(dataset.get('dataset'), dict):
        return _leaves(dataset['dataset'])
    if dataset.get('datasets'):
        return [leaf for child in dataset['datasets'] for leaf in _leaves(child)]
    return [dataset]


def _as_list(evaluators: Any) -> List[Any]:
    return list(evaluators) if isinstance(evaluators, (list, tuple)) else [evaluators]
