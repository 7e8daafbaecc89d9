"""What the tools that look inside a network share: their arguments, images in turn with the time left, what was written."""

import argparse
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mm_frelu.engine.act_options import add_act_arguments
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.settings import SettingsAction

from .image_files import ImageFile, find_images
from .loaded_model import LoadedModel


def add_inspection_arguments(
    parser: argparse.ArgumentParser, images: int, layers: Optional[str] = None
) -> None:
    """Add the options for images, layers, output, device, settings and ``--act``.

    Args:
        parser: The tool's.
        images: Images that are taken from the test set by default.
        layers: Help of ``--layers``; None for a tool without it.
    """
    parser.add_argument(
        '--images',
        nargs='+',
        metavar='PATH',
        help='image files, or folders, which are searched with the folders below them; default: '
        "evenly spaced images of the config's test set",
    )
    parser.add_argument(
        '--num-images',
        type=positive,
        metavar='N',
        help=f'take at most so many images; default: all of --images, {images} of a test set',
    )
    if layers is not None:
        parser.add_argument('--layers', nargs='+', metavar='NAME', help=layers)
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    parser.add_argument('--device', help='default: cuda:0 if there is one, else cpu')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='change settings of the config, as for tools/test.py',
    )
    add_act_arguments(parser)
    parser.set_defaults(default_images=images)


def positive(text: str) -> int:
    """A number of one or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a number of 1 or more, found {text}')
    return int(text)


def default_device(device: Optional[str]) -> str:
    """The device that was asked for, or the first GPU, or the CPU."""
    return device or ('cuda:0' if torch.cuda.is_available() else 'cpu')


def images_of(args: argparse.Namespace, loaded: LoadedModel) -> List[ImageFile]:
    """The images that a command line asks for."""
    if not args.images:
        return loaded.dataset_images(args.num_images or args.default_images)
    found = find_images(args.images, leave_out=Path(args.out))
    number = min(args.num_images or len(found), len(found))
    return [found[index * len(found) // number] for index in range(number)]


def each_image(
    console: Console, title: str, images: Sequence[ImageFile], look: Callable[[ImageFile], Any]
) -> List[str]:
    """Look at each image; one that cannot be read does not stop the others.

    Returns:
        What was wrong, a sentence for each such image.

    Raises:
        UserError: When no image could be looked at; with the first reason.
    """
    problems = []
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for image in progress.track(images, description=''):
            try:
                look(image)
            except UserError as error:
                problems.append(str(error))
    if len(problems) == len(images):
        more = f' (and {len(problems) - 1} more images that failed)' if len(problems) > 1 else ''
        raise UserError(f'{problems[0]}{more}')
    return problems


def report(console: Console, files: Sequence[Path], out: Path, problems: Sequence[str]) -> None:
    """Say where the files are, and what was left out.

    Raises:
        UserError: When an image failed, for exit code 1; the others are drawn then.
    """
    for file in files:
        plain(console, f'Wrote {file}')
    plain(console, f'{len(files)} file{"s" * (len(files) != 1)} in {out.absolute()}')
    if problems:
        listed = '\n  '.join(problems)
        noun = 'image was' if len(problems) == 1 else 'images were'
        raise UserError(f'{len(problems)} {noun} left out:\n  {listed}')


def plain(console: Console, text: str) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def targets_of(images: Sequence[ImageFile], out: Path, suffix: str) -> dict:
    """A file for each image, in the folders that the images were found in; a number tells equal names apart.

    Returns:
        By path of the image.
    """
    targets, taken = {}, set()
    for image in images:
        number, name = 1, image.key.name
        while (target := (out / image.key).with_name(f'{name}{suffix}')) in taken:
            number += 1
            name = f'{image.key.name}_{number}'
        taken.add(target)
        targets[image.path] = target
    return targets
