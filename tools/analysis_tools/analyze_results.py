"""Find and draw the best and the worst images of a test, from the predictions of tools/test.py --out.

    python tools/analysis_tools/analyze_results.py CONFIG PREDICTIONS SHOW_DIR [--topk N] [--show-score-thr S] [--show] [--wait-time S]
        [--cfg-options K=V ...]

PREDICTIONS is the folder of PNG files of a segmentor, or the file X.pkl of a detector. SHOW_DIR gets the pictures, in good/ and bad/,
and scores.csv with the mIoU or AP of all images. For a detector, the AP that each type of error costs (TIDE) is printed too.
"""

import argparse
import csv
from pathlib import Path
from typing import Callable, Hashable, List, NamedTuple, Optional, Sequence

from matplotlib.figure import Figure
from mmengine.config import Config
from rich.console import Console

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.engine.arguments import read_config, task_of
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.progress import progress
from mm_frelu.engine.settings import SettingsAction, merge_settings
from mm_frelu.engine.write_file import write_file
from mm_frelu.evaluation.detection_summary import summarize, summary_tables
from mm_frelu.results.detection_results import read_detections
from mm_frelu.results.detection_set import load_detection_set
from mm_frelu.results.segmentation_results import load_segmentation_results
from mm_frelu.visualization import draw_comparison
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.detection_comparison import draw_detections
from mm_frelu.visualization.differences import image_scores
from mm_frelu.visualization.figure_targets import require_screen, show_picture
from mm_frelu.visualization.image_files import as_picture, read_image


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Find and draw the best and the worst images of a test, from the predictions of tools/test.py --out.'
    )
    parser.add_argument('config', help='the config that was tested')
    parser.add_argument(
        'prediction_path',
        metavar='PREDICTIONS',
        help='output of tools/test.py --out: a folder of PNG files for segmentation, a file X.pkl for detection',
    )
    parser.add_argument('show_dir', metavar='SHOW_DIR', help='folder for the pictures and scores')
    parser.add_argument(
        '--topk',
        type=int,
        default=20,
        metavar='N',
        help='number of images of each kind; default: 20',
    )
    parser.add_argument(
        '--show-score-thr',
        type=float,
        default=0.3,
        metavar='S',
        help='detection: minimum score of the boxes to draw; default: 0.3. AP counts all boxes',
    )
    parser.add_argument('--show', action='store_true', help='show the pictures in a window')
    parser.add_argument(
        '--wait-time',
        type=float,
        default=0,
        metavar='S',
        help='seconds per picture in the window; default: until it is closed',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='change settings of the config, like in tools/test.py',
    )
    args = parser.parse_args(argv)
    if args.topk < 1:
        parser.error(f'--topk: expected at least 1, found {args.topk}')
    return args


class Rated(NamedTuple):
    """An image with its score, 0 to 1; NaN if it has no object or labelled pixel."""

    key: Hashable
    path: Path
    score: float


class Analysis(NamedTuple):
    """Results of a task: name of the score, all images, and a function that draws one of them."""

    measure: str
    images: List[Rated]
    draw: Callable[[Rated], Figure]


def of_segmentation(cfg: Config, args: argparse.Namespace, console: Console) -> Analysis:
    """Compute the mean IoU of every image."""
    results = load_segmentation_results(cfg, args.config, args.prediction_path)
    entries = {str(entry.image): entry for entry in results.images}
    images = []
    for key, entry in progress('Scoring', list(entries.items()), console):
        scores = image_scores(*results.read(entry), len(results.classes), results.ignore_index)
        images.append(Rated(key, entry.image, scores.mean_iou))

    def draw(rated: Rated) -> Figure:
        prediction, label = results.read(entries[rated.key])
        image = as_picture(read_image(rated.path))
        _require_size(rated.path, image.shape[1::-1], label.shape[1::-1])
        return draw_comparison(
            image,
            {'Prediction': prediction},
            label,
            classes=results.classes,
            palette=results.palette,
            ignore_index=results.ignore_index,
        )

    return Analysis('mIoU', images, draw)


def of_detection(cfg: Config, args: argparse.Namespace, console: Console) -> Analysis:
    """Compute the AP of every image, and print what each type of error costs over all images."""
    test_set = load_detection_set(cfg, args.config)
    detections = read_detections(args.prediction_path, test_set)
    summary = summarize(test_set.truth, detections, len(test_set.classes))
    for table in summary_tables({Path(args.prediction_path).stem: summary}):
        console.print(table)

    def draw(rated: Rated) -> Figure:
        image = as_picture(read_image(rated.path))
        true = test_set.images[rated.key]
        _require_size(rated.path, image.shape[1::-1], true.size)
        return draw_detections(
            image,
            {'Prediction': detections[rated.key]},
            true.truth,
            classes=test_set.classes,
            palette=test_set.palette,
            score_thrs={'Prediction': args.show_score_thr},
        )

    images = [
        Rated(key, image.path, summary.image_ap(key)) for key, image in test_set.images.items()
    ]
    return Analysis('AP', images, draw)


def _require_size(path: Path, found: Sequence[int], expected: Sequence[int]) -> None:
    if tuple(found) != tuple(expected):
        texts = ['x'.join(map(str, size)) for size in (found, expected)]
        raise UserError(
            f'{path} is {texts[0]} (after applying its EXIF orientation), but its annotations are for {texts[1]}. The sizes must be '
            'equal.'
        )


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Score all images, draw the best and the worst."""
    args = parse_args(argv)
    folder = Path(args.show_dir)
    require_writable('SHOW_DIR', folder)
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
            'tools/analysis_tools/analyze_results.py.'
        )
    console = Console()
    analysis = (of_segmentation if task == 'segmentation' else of_detection)(cfg, args, console)

    ranked = sorted(
        (image for image in analysis.images if image.score == image.score), key=lambda i: i.score
    )
    if not ranked:
        raise UserError(
            f'{args.config}: no image of its test set has labels, so there is nothing to score.'
        )
    with write_file(folder / 'scores.csv', newline='') as stream:
        writer = csv.writer(stream)
        writer.writerow(['image', analysis.measure])
        writer.writerows([image.path, f'{image.score:.4f}'] for image in ranked)
    # No image is in both folders.
    number = max(min(args.topk, len(ranked) // 2), 1)
    chosen = {'bad': ranked[:number], 'good': ranked[::-1][:number] if len(ranked) > 1 else []}
    jobs = [
        (word, rank, image)
        for word, images in chosen.items()
        for rank, image in enumerate(images, 1)
    ]
    problems = []
    for word, rank, image in progress('Drawing', jobs, console):
        try:
            figure = analysis.draw(image)
        except UserError as error:
            problems.append(str(error))
            continue
        target = folder / word / f'{rank:03d}_{image.path.stem}_{image.score:.3f}.png'
        save_figure(figure, target)
        if args.show:
            show_picture(target, args.wait_time)
    for word, images in chosen.items():
        for image in images[:3]:
            print(f'{word}: {image.path.name}, {analysis.measure} {100 * image.score:.1f}')
    unscored = len(analysis.images) - len(ranked)
    if unscored:
        print(f'{unscored} images have no labels and no score.')
    print(
        f'{len(jobs) - len(problems)} pictures in {folder.absolute()}, in bad/ and good/; all scores in scores.csv'
    )
    if problems:
        listed = '\n  '.join(problems)
        raise UserError(f'{len(problems)} of {len(jobs)} images could not be drawn:\n  {listed}')


if __name__ == '__main__':
    main()
