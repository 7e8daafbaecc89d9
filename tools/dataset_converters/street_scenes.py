"""Generate a dataset of street scenes in CityScapes layout, with COCO JSON for the same images.

Example:
    python tools/dataset_converters/street_scenes.py data/street_scenes --train 240 --val 60 --size
    256x128
"""

import argparse
import re
from pathlib import Path
from typing import Tuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mm_frelu.datasets.street_scenes import generate_street_scenes
from mm_frelu.engine import UserError, exit_on_user_error


def parse_size(text: str) -> Tuple[int, int]:
    """Parse '512x256' to (512, 256)."""
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if not match:
        raise argparse.ArgumentTypeError(f'expected WIDTHxHEIGHT such as 512x256, found {text!r}')
    return int(match[1]), int(match[2])


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(
        description='Generate street scenes in CityScapes layout, with COCO JSON. '
        'The same arguments give the same bytes.'
    )
    parser.add_argument('out', type=Path, help='folder of the dataset')
    parser.add_argument(
        '--train', type=int, default=200, metavar='N', help='scenes to train on (default: 200)'
    )
    parser.add_argument(
        '--val', type=int, default=50, metavar='M', help='scenes to evaluate on (default: 50)'
    )
    parser.add_argument(
        '--size',
        type=parse_size,
        default=(512, 256),
        metavar='WxH',
        help='size in pixels (default: 512x256)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, metavar='S', help='seed of the dataset (default: 0)'
    )
    return parser


@exit_on_user_error
def main() -> None:
    """Generate the dataset, and print where it is."""
    parser = build_parser()
    args = parser.parse_args()
    columns = (
        TextColumn('Drawing street scenes'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task('scenes', total=args.train + args.val, visible=False)
        try:
            drawn = generate_street_scenes(
                args.out,
                train=args.train,
                val=args.val,
                size=args.size,
                seed=args.seed,
                on_scene=lambda done, total: progress.update(task, completed=done, visible=True),
            )
        except ValueError as error:
            progress.stop()
            parser.error(str(error))
        except OSError as error:
            progress.stop()
            if error.errno is None:  # the folder has other files: the message is complete
                parser.error(str(error))
            raise UserError(
                f'the scenes cannot be written to {args.out} (at {args.out.absolute()}): {error}. '
                'Give a folder that you may write to, on a disk with free space.'
            ) from error
    width, height = args.size
    found = 'Wrote' if drawn else 'Already there:'
    print(
        f'{found} {args.train} + {args.val} street scenes of {width} x {height} pixels '
        f'(seed {args.seed}) in {args.out}'
    )
    for path, what in (
        ('leftImg8bit/{train,val}/', 'images'),
        ('gtFine/{train,val}/', "label images and polygons in CityScapes' format"),
        ('annotations/instances_{train,val}.json', "boxes and masks in COCO's format"),
    ):
        print(f'  {args.out / path}  {what}')


if __name__ == '__main__':
    main()
