"""Draw the confusion matrix of the predictions that tools/test.py --out wrote, for segmentation and detection.

    python tools/analysis_tools/confusion_matrix.py CONFIG PREDICTIONS SAVE_DIR [--title TEXT] [--color-theme NAME] [--show]
        [--score-thr S] [--tp-iou-thr T] [--nms-iou-thr T] [--cfg-options K=V ...]

PREDICTIONS is the folder of PNG files of a segmentor, or the file X.pkl of a detector. SAVE_DIR gets confusion_matrix.png, in per cent of
each true class, and confusion_matrix.csv with the counts.
"""

import argparse
import csv
from pathlib import Path
from typing import Optional, Sequence, Tuple

import matplotlib
import numpy as np
from mmengine.config import Config

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.engine.arguments import read_config, task_of
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.progress import progress
from mm_frelu.engine.settings import SettingsAction, merge_settings
from mm_frelu.engine.write_file import write_file
from mm_frelu.evaluation.box_confusion import box_confusion
from mm_frelu.evaluation.boxes import Detections
from mm_frelu.results.detection_results import read_detections
from mm_frelu.results.detection_set import load_detection_set
from mm_frelu.results.segmentation_results import load_segmentation_results
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.differences import count_pairs
from mm_frelu.visualization.figure_targets import require_screen, show_picture
from mm_frelu.visualization.matrix import draw_confusion_matrix, largest_confusions

BACKGROUND = 'background'


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Draw the confusion matrix of the predictions that tools/test.py --out wrote, for segmentation and detection.'
    )
    parser.add_argument('config', help='the config that was tested')
    parser.add_argument(
        'prediction_path',
        metavar='PREDICTIONS',
        help='output of tools/test.py --out: a folder of PNG files for segmentation, a file X.pkl for detection',
    )
    parser.add_argument(
        'save_dir', metavar='SAVE_DIR', help='folder for the picture and the counts'
    )
    parser.add_argument('--show', action='store_true', help='show the picture in a window')
    parser.add_argument(
        '--color-theme',
        default='Blues',
        metavar='NAME',
        help='Matplotlib colour map; default: Blues',
    )
    parser.add_argument('--title', default='Confusion matrix', help='title of the picture')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='detection: minimum score of the boxes to count; default: 0.3',
    )
    parser.add_argument(
        '--tp-iou-thr',
        type=float,
        default=0.5,
        help='detection: minimum IoU to match a box with an object; default: 0.5',
    )
    parser.add_argument(
        '--nms-iou-thr',
        type=float,
        help='detection: IoU of an NMS per class before the boxes are counted; default: no NMS',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='change settings of the config, like in tools/test.py',
    )
    args = parser.parse_args(argv)
    for name in ('score_thr', 'tp_iou_thr', 'nms_iou_thr'):
        value = getattr(args, name)
        if value is not None and not 0 <= value <= 1:
            parser.error(
                f'--{name.replace("_", "-")}: expected a number from 0 to 1, found {value}'
            )
    if args.tp_iou_thr == 0:
        parser.error('--tp-iou-thr: expected more than 0; at 0, boxes match that do not overlap')
    if args.color_theme not in matplotlib.colormaps:
        parser.error(
            f'--color-theme: Matplotlib has no colour map {args.color_theme!r}; use for example Blues, viridis or plasma'
        )
    return args


def count_pixels(cfg: Config, args: argparse.Namespace) -> Tuple[np.ndarray, Sequence[str]]:
    """Count pixels by true and predicted class; return the counts and the names of the classes."""
    results = load_segmentation_results(cfg, args.config, args.prediction_path)
    number = len(results.classes)
    counts = np.zeros((number, number), np.int64)
    for entry in progress('Counting', results.images):
        prediction, label = results.read(entry)
        counts += count_pairs(prediction, label, number, results.ignore_index)
    return counts, results.classes


def count_boxes(cfg: Config, args: argparse.Namespace) -> Tuple[np.ndarray, Sequence[str]]:
    """Count boxes by true and predicted class, with background as last class; return the counts and the names."""
    test_set = load_detection_set(cfg, args.config)
    detections = read_detections(args.prediction_path, test_set)
    number = len(test_set.classes)
    counts = np.zeros((number + 1, number + 1), np.int64)
    for key, image in progress('Counting', list(test_set.images.items())):
        found = detections[key].above(args.score_thr)
        if args.nms_iou_thr is not None:
            found = suppress(found, args.nms_iou_thr)
        counts += box_confusion(found, image.truth, number, args.tp_iou_thr)
    return counts, (*test_set.classes, BACKGROUND)


def suppress(found: Detections, iou: float) -> Detections:
    """Apply mmcv's NMS to each class."""
    import torch
    from mmcv.ops import batched_nms

    _, kept = batched_nms(
        *(
            torch.as_tensor(part)
            for part in (
                found.boxes.astype(np.float32),
                found.scores.astype(np.float32),
                found.labels,
            )
        ),
        dict(type='nms', iou_threshold=iou),
    )
    return Detections.of(*(field[kept.numpy()] for field in found))


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Count, print the largest confusions, write both files."""
    args = parse_args(argv)
    folder = Path(args.save_dir)
    require_writable('SAVE_DIR', folder)
    if args.show:
        require_screen('--show')
    cfg = read_config(args.config)
    merge_settings(cfg, args.cfg_options)
    task = task_of(cfg)
    if task == 'keypoints':
        raise UserError(
            f'{args.config} is a keypoint config; this tool is for detection and segmentation.'
        )
    if task == 'classification':
        raise UserError(
            f'{args.config} is a classification config; mmpretrain has a tool for it: python -m mm_frelu.run mmpretrain '
            'tools/analysis_tools/confusion_matrix.py.'
        )
    counts, names = (count_pixels if task == 'segmentation' else count_boxes)(cfg, args)
    if not counts.sum():
        noun = (
            'labelled pixel'
            if task == 'segmentation'
            else f'object, and no box with a score of {args.score_thr:g},'
        )
        raise UserError(f'{args.prediction_path}: there is no {noun} to count.')

    print('Largest confusions, in % of the true class:')
    for true, predicted, percent in largest_confusions(counts, 5):
        print(f'  {names[true]} as {names[predicted]}: {percent:.1f}')
    table, picture = folder / 'confusion_matrix.csv', folder / 'confusion_matrix.png'
    with write_file(table, newline='') as stream:
        writer = csv.writer(stream)
        writer.writerow(['true \\ predicted', *names])
        writer.writerows([name, *row] for name, row in zip(names, counts.tolist()))
    blank = len(names) - 1 if task == 'detection' else None
    save_figure(draw_confusion_matrix(counts, names, args.title, args.color_theme, blank), picture)
    print(f'Picture: {picture.absolute()}\nCounts:  {table.absolute()}')
    if args.show:
        show_picture(picture)


if __name__ == '__main__':
    main()
