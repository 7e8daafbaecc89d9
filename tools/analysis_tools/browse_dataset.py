"""Draw the images and labels that a config's pipeline feeds to the model.

    python tools/analysis_tools/browse_dataset.py CONFIG --output-dir DIR [--phase train|val|test] [--show-number N] [--repeat N]
        [--seed S] [--not-show] [--show-interval S] [--cfg-options K=V ...]

Each image is drawn as a PNG, with boxes for detection, a label map for segmentation, or the class for classification. With --repeat, each
image is drawn several times, to show the effect of random steps.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Optional, Sequence

from matplotlib.figure import Figure
from mmengine.runner import set_random_seed

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.engine.arguments import read_config
from mm_frelu.engine.errors import exit_on_user_error
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.progress import progress
from mm_frelu.engine.settings import SettingsAction, merge_settings
from mm_frelu.results.fed_samples import PHASES, FedDataset, FedSample, samples_of
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.fed_figure import draw_boxes, draw_label_map, draw_plain
from mm_frelu.visualization.figure_targets import require_screen, show_picture


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Draw the images and labels that a config's pipeline feeds to the model."
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--output-dir', metavar='DIR', help='folder for the pictures')
    parser.add_argument(
        '--phase',
        choices=PHASES,
        default='train',
        help='dataset and pipeline to draw; default: train',
    )
    parser.add_argument(
        '--show-number', type=int, metavar='N', help='draw the first N images; default: all'
    )
    parser.add_argument(
        '--repeat', type=int, default=1, metavar='N', help='draw each image N times; default: 1'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the random steps; default: 0')
    parser.add_argument('--not-show', action='store_true', help='do not open a window')
    parser.add_argument(
        '--show-interval',
        type=float,
        default=2,
        metavar='S',
        help='seconds per picture in the window',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='change settings of the config, like in tools/train.py',
    )
    args = parser.parse_args(argv)
    for name in ('show_number', 'repeat'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")}: expected at least 1, found {value}')
    if args.not_show and not args.output_dir:
        parser.error('--not-show without --output-dir would do nothing; give --output-dir DIR')
    return args


def draw(sample: FedSample, dataset: FedDataset) -> Figure:
    """Draw a sample with any kind of labels."""
    height, width = sample.image.shape[:2]
    title = f'{Path(sample.path).name}, {width} x {height}'
    if sample.boxes is not None:
        return draw_boxes(sample.image, sample.boxes, dataset.classes, dataset.palette, title)
    if sample.labels is not None:
        return draw_label_map(
            sample.image,
            sample.labels,
            dataset.classes,
            dataset.palette,
            dataset.ignore_index,
            title,
        )
    if sample.category is not None:
        # An annotation file of mmpretrain's CustomDataset may have numbers only.
        names = dict(enumerate(dataset.classes))
        title = f'{names.get(sample.category, f"class {sample.category}")}: {title}'
    return draw_plain(sample.image, title)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Draw the samples."""
    args = parse_args(argv)
    if args.output_dir:
        require_writable('--output-dir', args.output_dir)
    if not args.not_show:
        require_screen('browse_dataset.py without --not-show')
    cfg = read_config(args.config)
    merge_settings(cfg, args.cfg_options)
    dataset = FedDataset(cfg, args.config, args.phase)
    set_random_seed(args.seed)
    total = min(args.show_number or len(dataset), len(dataset)) * args.repeat
    digits, number = len(str(len(dataset) - 1)), 0
    for index, turn, sample in progress(
        'Drawing', samples_of(dataset, args.show_number, args.repeat), total=total
    ):
        figure = draw(sample, dataset)
        name = f'{index:0{digits}d}_{Path(sample.path).stem}' + (
            f'_{turn}' if args.repeat > 1 else ''
        )
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(args.output_dir or scratch) / f'{name}.png'
            save_figure(figure, path)
            if not args.not_show:
                show_picture(path, args.show_interval)
        number += 1
    if args.output_dir:
        print(f'{number} pictures in {Path(args.output_dir).absolute()}')


if __name__ == '__main__':
    main()
