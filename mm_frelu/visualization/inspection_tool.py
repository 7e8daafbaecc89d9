"""Common parts of the tools that inspect a network: arguments, the loop over images with a progress bar, and the report."""

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
        parser: The tool's parser.
        images: Default number of images from the test set.
        layers: Help text of ``--layers``; None for a tool without this option.
    """
    parser.add_argument(
        '--images',
        nargs='+',
        metavar='PATH',
        help='image files, or folders (including their subfolders); default: evenly spaced images of the '
        "config's test set",
    )
    parser.add_argument(
        '--num-images',
        type=positive,
        metavar='N',
        help=f'maximum number of images; default: all of --images, or {images} of the test set',
    )
    if layers is not None:
        parser.add_argument('--layers', nargs='+', metavar='NAME', help=layers)
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    parser.add_argument('--device', help='device; default: cuda:0 if available, otherwise cpu')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='change settings of the config, like in tools/test.py',
    )
    add_act_arguments(parser)
    parser.set_defaults(default_images=images)


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected an integer of at least 1, found {text}')
    return int(text)


def default_device(device: Optional[str]) -> str:
    """Return the given device, otherwise the first GPU, otherwise the CPU."""
    return device or ('cuda:0' if torch.cuda.is_available() else 'cpu')


def images_of(args: argparse.Namespace, loaded: LoadedModel) -> List[ImageFile]:
    """Return the images that the command line selects."""
    if not args.images:
        return loaded.dataset_images(args.num_images or args.default_images)
    found = find_images(args.images, leave_out=Path(args.out))
    number = min(args.num_images or len(found), len(found))
    return [found[index * len(found) // number] for index in range(number)]


def each_image(
    console: Console, title: str, images: Sequence[ImageFile], look: Callable[[ImageFile], Any]
) -> List[str]:
    """Call ``look`` for each image. An image that cannot be read does not stop the loop.

    Returns:
        An error message for each image that failed.

    Raises:
        UserError: When all images failed; with the first reason.
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
    """Print where the files are, and which images were left out.

    Raises:
        UserError: When an image failed, so that the exit code is 1. The other images have been drawn.
    """
    for file in files:
        plain(console, f'Wrote {file}')
    plain(console, f'{len(files)} file{"s" * (len(files) != 1)} in {out.absolute()}')
    if problems:
        listed = '\n  '.join(problems)
        noun = 'image was' if len(problems) == 1 else 'images were'
        raise UserError(f'{len(problems)} {noun} left out:\n  {listed}')


def plain(console: Console, text: str) -> None:
    """Print a line without markup, highlighting or wrapping."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def targets_of(images: Sequence[ImageFile], out: Path, suffix: str) -> dict:
    """Return an output file for each image, in the image's subfolder. Equal names get a number.

    Returns:
        Output files by path of the image.
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
