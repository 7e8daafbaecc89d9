"""Draw segmentation models beside each other, one PNG for each image.

    python tools/visualize_segmentation.py --images PATH... --model NAME CONFIG CHECKPOINT [--model ...] --out DIR
        [--gt DIR] [--crop auto|x,y,w,h] [--opacity A | --only-mask] [--device D]
        [--act NAME [--act-models NAME...] [--act-cfg K=V ...] [--act-include PATTERN ...] [--act-exclude PATTERN ...]]

A picture shows the image, the ground truth, each model's prediction and errors (without ground truth: where the models differ)
and a legend. An image that cannot be drawn does not stop the others; all such images are listed at the end, with exit code 1.
"""

import argparse
import functools
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import mm_frelu  # noqa: F401  (first: mmseg needs the ops that it supplies)
from mm_frelu.engine.act_options import add_act_arguments, apply_act_options
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.visualization import Box, draw_comparison, save_comparison
from mm_frelu.visualization.image_files import (
    ImageFile,
    LabelFolder,
    as_picture,
    find_images,
    read_image,
    read_labels,
)
from mm_frelu.visualization.segmentors import (
    Segmentor,
    check_device,
    check_same_classes,
    check_same_labels,
    load_segmentor,
)

DEFAULT_OPACITY = 0.65


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Draw segmentation models beside each other, one PNG for each image.'
    )
    parser.add_argument(
        '--images',
        nargs='+',
        required=True,
        metavar='PATH',
        help='image files, or folders; these are searched with the folders below them',
    )
    parser.add_argument(
        '--model',
        nargs=3,
        action='append',
        required=True,
        metavar=('NAME', 'CONFIG', 'CHECKPOINT'),
        help='a model and what to call it; give the option once for each model, the control first',
    )
    parser.add_argument(
        '--gt',
        metavar='DIR',
        help='folder of label maps: X_gtFine_labelTrainIds.png for X_leftImg8bit.png, else a PNG with the name of the '
        'image; adds ground truth, error maps and scores',
    )
    parser.add_argument(
        '--crop',
        type=_crop,
        metavar='auto|x,y,w,h',
        help='show only a part of the image: auto finds where the models differ most (one model: where it is wrong)',
    )
    look = parser.add_mutually_exclusive_group()
    look.add_argument(
        '--opacity',
        type=_opacity,
        default=DEFAULT_OPACITY,
        metavar='A',
        help=f'opacity of the class colours over the image, 0 to 1; default {DEFAULT_OPACITY}',
    )
    look.add_argument(
        '--only-mask', action='store_true', help='class colours only, without the image below them'
    )
    parser.add_argument(
        '--device', help='device for the models; default: cuda:0 if there is one, else cpu'
    )
    add_act_arguments(parser)
    parser.add_argument(
        '--act-models',
        nargs='+',
        metavar='NAME',
        help='the models that --act is for, by the names of --model; default: all',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    args = parser.parse_args(argv)
    names = [name for name, _, _ in args.model]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        parser.error(f'--model: two models are called {twice[0]!r}; give each a name of its own')
    strangers = [name for name in args.act_models or () if name not in names]
    if strangers:
        parser.error(
            f'--act-models: no model is called {strangers[0]!r}; there are {", ".join(names)}'
        )
    if args.device is None:
        args.device = 'cuda:0' if torch.cuda.is_available() else 'cpu'
    return args


def _opacity(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 1, found {text}')
    return value


def _crop(text: str) -> Union[str, Box]:
    if text == 'auto':
        return text
    try:
        return Box.from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def target_files(images: Sequence[ImageFile], out: Path) -> List[Path]:
    """One PNG for each image, in the folders that the images were found in; a number tells equal names apart."""
    targets: List[Path] = []
    taken = set()
    for image in images:
        target = (out / image.key).with_name(f'{image.key.name}.png')
        number = 2
        while target in taken:
            target = target.with_name(f'{image.key.name}_{number}.png')
            number += 1
        taken.add(target)
        targets.append(target)
    return targets


def pair_labels(
    images: Sequence[ImageFile], folder: Optional[str]
) -> Tuple[Dict[Path, Path], Dict[Path, str]]:
    """The label map of each image, and what is wrong with images that have none.

    Raises:
        UserError: No image has a label map; then the folder is the wrong one.
    """
    if folder is None:
        return {}, {}
    labels = LabelFolder(folder)
    pairs, problems = {}, {}
    for image in images:
        try:
            pairs[image.path] = labels.find(image)
        except UserError as error:
            problems[image.path] = str(error)
    if not pairs:
        raise UserError(
            f'--gt {folder}: none of the {len(images)} images has a label map there. The first: '
            f'{next(iter(problems.values()))}'
        )
    return pairs, problems


def draw(
    image_file: ImageFile,
    label_file: Optional[Path],
    segmentors: Sequence[Segmentor],
    args: argparse.Namespace,
    target: Path,
) -> None:
    """Predict one image with every model, and write its picture."""
    first = segmentors[0]
    image = read_image(image_file.path, first.loader)
    size = image.shape[1::-1]
    if isinstance(args.crop, Box):
        try:
            args.crop.check_inside(size)
        except ValueError as error:
            raise UserError(f'{image_file.path}: {error}') from None
    labels = None
    if label_file is not None:
        labels = read_labels(
            label_file, size, len(first.classes), first.ignore_index, first.reduce_zero_label
        )
    predictions = {}
    for segmentor in segmentors:
        try:
            predictions[segmentor.name] = segmentor.predict(
                read_image(image_file.path, segmentor.loader), full_resolution=labels is not None
            )
        except UserError as error:
            raise UserError(f'{image_file.path}: {error}') from None
    figure = draw_comparison(
        as_picture(image),
        predictions,
        labels,
        classes=first.classes,
        palette=first.palette,
        crop=args.crop,
        opacity=args.opacity,
        only_mask=args.only_mask,
        ignore_index=first.ignore_index,
    )
    save_comparison(figure, target)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Draw all images, then say where the pictures are and which images failed."""
    args = parse_args(argv)
    out = Path(args.out)
    require_writable('--out', out)
    check_device(args.device)
    images = find_images(args.images, leave_out=out)
    pairs, problems = pair_labels(images, args.gt)

    console = Console()
    segmentors = []
    for name, config, checkpoint in args.model:
        console.print(f'Loading {name}: {checkpoint}', markup=False, highlight=False)
        changed = args.act_models is None or name in args.act_models
        change = functools.partial(apply_act_options, args=args) if changed else None
        segmentors.append(load_segmentor(name, config, checkpoint, args.device, change))
    check_same_classes(segmentors)
    if pairs:
        check_same_labels(segmentors)

    columns = (TextColumn('Drawing'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for image, target in progress.track(
            list(zip(images, target_files(images, out))), description=''
        ):
            if image.path in problems:
                continue
            try:
                draw(image, pairs.get(image.path), segmentors, args, target)
            except UserError as error:
                problems[image.path] = str(error)
    drawn = len(images) - len(problems)
    if drawn:
        noun = 'picture' if drawn == 1 else 'pictures'
        console.print(
            f'{drawn} {noun} in {out.absolute()}', markup=False, highlight=False, soft_wrap=True
        )
    if problems:
        listed = '\n  '.join(problems.values())
        raise UserError(f'{len(problems)} of {len(images)} images could not be drawn:\n  {listed}')


if __name__ == '__main__':
    main()
