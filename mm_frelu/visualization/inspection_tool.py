"""Common parts of the tools that inspect a network: arguments, the loop over images with a progress bar, and the report."""

import argparse
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence

from rich.console import Console

from mm_frelu.engine.errors import UserError
from mm_frelu.engine.progress import progress
from mm_frelu.engine.settings import SettingsAction

from .image_files import ImageFile, find_images
from .loaded_model import LoadedModel
from .model_options import add_device_argument
from .option_types import count


def add_inspection_arguments(
    parser: argparse.ArgumentParser, images: int, layers: Optional[str] = None
) -> None:
    """Add the options for images, layers, output, device and settings.

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
        type=count,
        metavar='N',
        help=f'maximum number of images; default: all of --images, or {images} of the test set',
    )
    if layers is not None:
        parser.add_argument('--layers', nargs='+', metavar='NAME', help=layers)
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    add_device_argument(parser)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='change settings of the config, like in tools/test.py',
    )
    parser.set_defaults(default_images=images)


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
    for image in progress(title, images, console):
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
