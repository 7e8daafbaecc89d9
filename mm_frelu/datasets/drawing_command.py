"""Command line of the dataset generators: options, progress bar, and the list of written files."""

import argparse
import re
from pathlib import Path
from typing import Callable, Sequence, Tuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mm_frelu.engine.errors import UserError


def parse_size(text: str) -> Tuple[int, int]:
    """Parse '512x256' to (512, 256)."""
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if not match:
        raise argparse.ArgumentTypeError(f'expected WIDTHxHEIGHT such as 512x256, found {text!r}')
    return int(match[1]), int(match[2])


def draw_by_command(
    generate: Callable[..., bool],
    what: str,
    unit: str,
    description: str,
    defaults: Tuple[int, int, Tuple[int, int]],
    written: Sequence[Tuple[str, str]],
) -> None:
    """Parse the command line, generate the dataset, and print where it is.

    Args:
        generate: Function of the folder, ``train``, ``val``, ``size``, ``seed`` and a callback. It returns whether it drew anything.
        what: Name of the drawn things, such as ``'street scenes'``.
        unit: Name of one picture in the plural, such as ``'scenes'``.
        description: Description of the command for ``--help``.
        defaults: Default numbers of training and evaluation pictures, and the default size.
        written: Paths below the folder, and a description of each.

    Raises:
        UserError: If the folder cannot be written to.
    """
    train, val, (width, height) = defaults
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('out', type=Path, help='folder of the dataset')
    parser.add_argument(
        '--train',
        type=int,
        default=train,
        metavar='N',
        help=f'{unit} to train on (default: {train})',
    )
    parser.add_argument(
        '--val',
        type=int,
        default=val,
        metavar='M',
        help=f'{unit} to evaluate on (default: {val})',
    )
    parser.add_argument(
        '--size',
        type=parse_size,
        default=(width, height),
        metavar='WxH',
        help=f'size in pixels (default: {width}x{height})',
    )
    parser.add_argument(
        '--seed', type=int, default=0, metavar='S', help='seed of the dataset (default: 0)'
    )
    args = parser.parse_args()
    columns = (
        TextColumn(f'Drawing {what}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(unit, total=args.train + args.val, visible=False)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, visible=True)

        try:
            drawn = generate(args.out, args.train, args.val, args.size, args.seed, show)
        except ValueError as error:
            progress.stop()
            parser.error(str(error))
        except OSError as error:
            progress.stop()
            if error.errno is None:  # the folder has other files: the message is complete
                parser.error(str(error))
            raise UserError(
                f'the {unit} cannot be written to {args.out} (at {args.out.absolute()}): {error}. '
                'Give a folder that you may write to, on a disk with free space.'
            ) from error
    width, height = args.size
    found = 'Wrote' if drawn else 'Already there:'
    print(
        f'{found} {args.train} + {args.val} {what} of {width} x {height} pixels '
        f'(seed {args.seed}) in {args.out}'
    )
    for path, content in written:
        print(f'  {args.out / path}  {content}')
