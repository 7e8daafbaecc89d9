"""Compare segmentation models in figures (one per image, or one for all images) or on an HTML page.

    python tools/visualize_segmentation.py --images PATH... --model NAME CONFIG CHECKPOINT [--model ...] --out DIR
        [--gt DIR] [--html | --one-figure] [--crop auto|x,y,w,h] [--opacity A | --only-mask] [--palette apart|dataset]
        [--format png|pdf|svg] [--width IN | --panel-width IN] [--columns N] [--dpi N] [--font-size PT] [--no-legend] [--no-scores]
        [--errors | --no-errors] [--device D] [--act NAME [--act-models NAME...] ...]

A figure shows the image, the ground truth, each model's prediction and errors (without ground truth: where the models differ)
and a legend. An image that cannot be drawn does not stop the tool. Such images are listed at the end, and the exit code is 1.
"""

import argparse
import contextlib
from pathlib import Path
from typing import ContextManager, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from rich.console import Console

import mm_frelu  # noqa: F401  (first: mmseg needs the ops that it supplies)
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.progress import progress
from mm_frelu.visualization import Box, Row, draw_comparison, draw_rows, save_figure
from mm_frelu.visualization.image_files import (
    ImageFile,
    LabelFolder,
    as_picture,
    find_images,
    read_image,
    read_labels,
    targets_of,
)
from mm_frelu.visualization.look import PALETTES, choose_palette, describe_palette
from mm_frelu.visualization.model_options import (
    add_act_models_arguments,
    add_device_argument,
    add_model_argument,
    check_model_names,
    config_change,
)
from mm_frelu.visualization.option_types import share
from mm_frelu.visualization.segmentation_page import SegmentationPage
from mm_frelu.visualization.segmentors import Segmentor, check_same_labels, load_segmentor
from mm_frelu.visualization.sheet_options import add_sheet_arguments, sheet_of
from mm_frelu.visualization.test_set import check_same_classes
from mm_frelu.visualization.trained_model import usable_device

DEFAULT_OPACITY = 0.65
MOST_ROWS = 30


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Compare segmentation models in figures (one per image, or one for all images) or on an HTML page.'
    )
    parser.add_argument(
        '--images',
        nargs='+',
        required=True,
        metavar='PATH',
        help='image files, or folders (including their subfolders)',
    )
    add_model_argument(parser)
    parser.add_argument(
        '--gt',
        metavar='DIR',
        help='folder of label maps: X_gtFine_labelTrainIds.png for X_leftImg8bit.png, otherwise a PNG with the name of the '
        'image; adds ground truth, error maps and scores',
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        '--html',
        action='store_true',
        help='write one page, DIR/comparison.html, which a browser opens without a network: slider between models, zoom, class '
        'filter, errors, scores, images sorted by the gain of one model over another; figures only if --format is given too',
    )
    what.add_argument(
        '--one-figure',
        action='store_true',
        help=f'write one figure, with the images as rows (at most {MOST_ROWS}) and the models as columns',
    )
    parser.add_argument(
        '--crop',
        type=_crop,
        metavar='auto|x,y,w,h',
        help='show only a part of the image; auto chooses where the models differ most (one model: where it has most errors)',
    )
    look = parser.add_mutually_exclusive_group()
    look.add_argument(
        '--opacity',
        type=share,
        default=DEFAULT_OPACITY,
        metavar='A',
        help='opacity of the class colours over the image, 0 to 1; outlines are always opaque, so 0 shows outlines only; '
        f'default: {DEFAULT_OPACITY}',
    )
    look.add_argument(
        '--only-mask', action='store_true', help='draw class colours only, without the image'
    )
    parser.add_argument(
        '--palette',
        choices=PALETTES,
        default=PALETTES[0],
        help='apart: the colours of the dataset, changed for classes that look too similar (default); dataset: the unchanged colours',
    )
    parser.add_argument(
        '--errors',
        action=argparse.BooleanOptionalAction,
        help='draw error maps or, without --gt, where models differ; default: yes, except with --one-figure',
    )
    add_sheet_arguments(parser)
    add_device_argument(parser)
    add_act_models_arguments(parser)
    parser.add_argument('--out', required=True, metavar='DIR', help='output folder')
    args = parser.parse_args(argv)
    check_model_names(parser, args)
    if args.one_figure and args.columns:
        parser.error('--columns: with --one-figure the models are the columns')
    if args.html and args.crop and not args.format:
        parser.error(
            '--crop: it has no effect on the page of --html, which has a zoom; add --format to draw figures too'
        )
    if args.errors is None:
        args.errors = not args.one_figure
    return args


def _crop(text: str) -> Union[str, Box]:
    if text == 'auto':
        return text
    try:
        return Box.from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def pair_labels(
    images: Sequence[ImageFile], folder: Optional[str]
) -> Tuple[Dict[Path, Path], Dict[Path, str]]:
    """Return the label map of each image, and an error message for each image without one.

    Raises:
        UserError: If no image has a label map, which means that the folder is wrong.
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


class Figures:
    """One figure for each image."""

    def __init__(self, images: Sequence[ImageFile], args: argparse.Namespace, style: Dict) -> None:
        self.style = dict(style, crop=args.crop, errors=args.errors, sheet=sheet_of(args))
        self.targets = targets_of(images, Path(args.out), f'.{args.format or "png"}')
        self.written = 0

    def add(self, file: ImageFile, row: Row) -> None:
        """Draw and write the figure of an image."""
        save_figure(draw_comparison(*row, **self.style), self.targets[file.path])
        self.written += 1

    def finish(self, out: Path) -> str:
        """Describe what was written and where; empty if nothing was written."""
        return f'{_number(self.written, "figure")} in {out}' if self.written else ''


class OneFigure:
    """One figure with a row for each image."""

    def __init__(self, args: argparse.Namespace, style: Dict) -> None:
        self.style = dict(style, crop=args.crop, errors=args.errors, sheet=sheet_of(args))
        self.name = Path(f'comparison.{args.format or "png"}')
        self.rows: List[Row] = []

    def add(self, file: ImageFile, row: Row) -> None:
        """Keep an image for the figure."""
        self.rows.append(row)

    def finish(self, out: Path) -> str:
        """Draw and write the figure, and describe where it is."""
        if not self.rows:
            return ''
        path = save_figure(draw_rows(self.rows, **self.style), out / self.name)
        return f'{_number(len(self.rows), "image")} in {path}'


class HtmlPage:
    """One HTML page. Its file is written when the context manager ``page`` exits."""

    def __init__(self, path: Path, page: SegmentationPage) -> None:
        self.path, self.page = path, page

    def add(self, file: ImageFile, row: Row) -> None:
        """Add an image."""
        self.page.add(file.key.as_posix(), *row)

    def finish(self, out: Path) -> str:
        """Describe where the page is and its size."""
        if not len(self.page):
            return ''
        size = self.path.stat().st_size / 1e6
        return f'{_number(len(self.page), "image")} in {self.path.absolute()} ({size:.1f} MB)'


def _number(count: int, noun: str) -> str:
    return f'{count} {noun}{"" if count == 1 else "s"}'


def open_outputs(
    images: Sequence[ImageFile],
    first: Segmentor,
    args: argparse.Namespace,
    labelled: bool,
    stack: contextlib.ExitStack,
) -> List[Union[Figures, OneFigure, HtmlPage]]:
    """Create the outputs that the options select."""
    style = dict(
        classes=first.classes,
        palette=first.palette,
        palette_kind=args.palette,
        opacity=args.opacity,
        only_mask=args.only_mask,
        ignore_index=first.ignore_index,
    )
    if args.one_figure:
        return [OneFigure(args, style)]
    outputs: List[Union[Figures, OneFigure, HtmlPage]] = []
    if args.html:
        path = Path(args.out) / 'comparison.html'
        page: ContextManager = SegmentationPage(
            path,
            [name for name, _, _ in args.model],
            first.classes,
            choose_palette(first.palette, len(first.classes), args.palette),
            labelled,
            first.ignore_index,
            1.0 if args.only_mask else args.opacity,
        )
        outputs.append(HtmlPage(path, stack.enter_context(page)))
    if args.format or not args.html:
        outputs.append(Figures(images, args, style))
    return outputs


def predict(
    image_file: ImageFile,
    label_file: Optional[Path],
    segmentors: Sequence[Segmentor],
    crop: Union[None, str, Box],
) -> Row:
    """Read an image and its labels, and predict the image with every model."""
    first = segmentors[0]
    image = read_image(image_file.path, first.loader)
    size = image.shape[1::-1]
    if isinstance(crop, Box):
        try:
            crop.check_inside(size)
        except ValueError as error:
            raise UserError(f'{image_file.path}: {error}') from None
    labels = None
    if label_file is not None:
        labels = read_labels(
            label_file, size, len(first.classes), first.ignore_index, first.renumbering
        )
    predictions: Dict[str, np.ndarray] = {}
    for segmentor in segmentors:
        try:
            predictions[segmentor.name] = segmentor.predict(
                read_image(image_file.path, segmentor.loader), full_resolution=labels is not None
            )
        except UserError as error:
            raise UserError(f'{image_file.path}: {error}') from None
    return Row(as_picture(image), predictions, labels)


def load_models(args: argparse.Namespace, console: Console) -> List[Segmentor]:
    """Load all models, and check that they have the same classes."""
    segmentors = []
    for name, config, checkpoint in args.model:
        console.print(f'Loading {name}: {checkpoint}', markup=False, highlight=False)
        change = config_change(args, name)
        segmentors.append(load_segmentor(name, config, checkpoint, args.device, change))
    check_same_classes([one.name for one in segmentors], [one.classes for one in segmentors])
    return segmentors


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Draw all images, then print where the results are and which images failed."""
    args = parse_args(argv)
    out = Path(args.out)
    require_writable('--out', out)
    args.device = usable_device(args.device)
    images = find_images(args.images, leave_out=out)
    if args.one_figure and len(images) > MOST_ROWS:
        raise UserError(
            f'--one-figure draws a row for each image, and --images has {len(images)}. Give at most {MOST_ROWS}, or use --html.'
        )
    pairs, problems = pair_labels(images, args.gt)

    console = Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    segmentors = load_models(args, console)
    if pairs:
        check_same_labels(segmentors)
    first = segmentors[0]
    chosen = choose_palette(first.palette, len(first.classes), args.palette)
    note = describe_palette(first.palette, chosen, first.classes)
    if note:
        say(note)

    with contextlib.ExitStack() as stack:
        outputs = open_outputs(images, first, args, bool(pairs), stack)
        for image in progress('Drawing', images, console):
            if image.path in problems:
                continue
            try:
                row = predict(image, pairs.get(image.path), segmentors, args.crop)
                for output in outputs:
                    output.add(image, row)
            except UserError as error:
                problems[image.path] = str(error)
    for output in outputs:
        text = output.finish(out.absolute())
        if text:
            say(text)
    if problems:
        listed = '\n  '.join(problems.values())
        raise UserError(f'{len(problems)} of {len(images)} images could not be drawn:\n  {listed}')


if __name__ == '__main__':
    main()
