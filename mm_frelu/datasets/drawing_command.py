"""The command line of the generators: numbers of pictures, size, seed, a progress bar, and what was written where."""

import argparse
import re
from pathlib import Path
from typing import Callable, Sequence, Tuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mm_frelu.engine.errors import UserError


def parse_size(text: str) -> Tuple[int, int]:
    """Reads '512x256' as (512, 256)."""
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
    """Reads the command line, has the set drawn and says where it is.

    Args:
        generate: Takes the folder, ``train``, ``val``, ``size``, ``seed`` and a callback, and says whether it drew.
        what: What is drawn, such as ``'street scenes'``.
        unit: What is counted, such as ``'scenes'``.
        description: Of the command, for ``--help``.
        defaults: Numbers for training and evaluation, and the size.
        written: Paths below the folder and what lies there.

    Raises:
        UserError: When the folder cannot be written to.
    """
    train, val, (width, height) = defaults
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('out', type=Path, help='folder of the data set')
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
        help=f'pixels (default: {width}x{height})',
    )
    parser.add_argument(
        '--seed', type=int, default=0, metavar='S', help='seed of the set (default: 0)'
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
            if error.errno is None:  # somebody else's folder: the message is complete
                parser.error(str(error))
            raise UserError(
                f'the {unit} cannot be written to {args.out} (at {args.out.absolute()}): {error}. '
                'Give a folder that you may write to, on a disk with room.'
            ) from error
    width, height = args.size
    found = 'Wrote' if drawn else 'Already there:'
    print(
        f'{found} {args.train} + {args.val} {what} of {width} x {height} pixels '
        f'(seed {args.seed}) in {args.out}'
    )
    for path, content in written:
        print(f'  {args.out / path}  {content}')
