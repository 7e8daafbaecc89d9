"""Compare detectors with each other and with the ground truth, in figures or on one HTML page, and summarise their errors.

    python tools/visualize_detection.py --model NAME CONFIG CHECKPOINT|PREDICTIONS.pkl [--model ...] --out DIR
        [--images PATH... [--gt ANNOTATIONS.json]] [--score-thr S | NAME=S ...] [--html] [--max-images N] [--device D]
        [--format png|pdf|svg] [--width IN | --panel-width IN] [--columns N] [--dpi N] [--font-size PT] [--no-legend] [--no-scores]
        [--act NAME [--act-models NAME...] [--act-cfg K=V ...] [--act-include PATTERN ...] [--act-exclude PATTERN ...]]

Without --images, the images and the ground truth come from the test set of the first config. A model can then be given by the predictions
that tools/test.py --out wrote. With ground truth, a table shows what each type of error costs (TIDE), and the worst images are listed.
"""

import argparse
import contextlib
import functools
from pathlib import Path
from typing import Callable, Dict, Hashable, List, NamedTuple, Optional, Sequence, Tuple

from rich.console import Console

import mm_frelu  # noqa: F401  (first: mmdet needs the ops that it supplies)
from mm_frelu.engine.arguments import read_config
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.json_file import write_json
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.progress import progress
from mm_frelu.evaluation.boxes import Detections
from mm_frelu.evaluation.detection_summary import (
    DetectionSummary,
    summarize,
    summary_as_json,
    summary_tables,
)
from mm_frelu.results.detection_pictures import Picture, pictures_of_files, pictures_of_set
from mm_frelu.results.detection_results import read_detections
from mm_frelu.results.detection_set import DetectionSet, load_detection_set, read_annotations
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.detection_comparison import draw_detections
from mm_frelu.visualization.detection_page import DetectionPage
from mm_frelu.visualization.detectors import Detector, load_detector
from mm_frelu.visualization.image_files import as_picture, find_images, read_image, with_ending
from mm_frelu.visualization.model_options import (
    add_act_models_arguments,
    add_device_argument,
    add_model_argument,
    check_model_names,
    config_change,
)
from mm_frelu.visualization.option_types import count
from mm_frelu.visualization.sheet_options import add_sheet_arguments, sheet_of
from mm_frelu.visualization.test_set import check_same_classes
from mm_frelu.visualization.trained_model import usable_device

SCORE_THR = 0.3
PAGE = 'comparison.html'
SUMMARY = 'summary.json'


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Compare detectors with each other and with the ground truth, and summarise their errors.'
    )
    add_model_argument(
        parser,
        '; instead of a checkpoint, give the predictions X.pkl that tools/test.py --out wrote',
    )
    parser.add_argument(
        '--images',
        nargs='+',
        metavar='PATH',
        help='image files, or folders (including their subfolders); default: the test set of the first config',
    )
    parser.add_argument(
        '--gt',
        metavar='FILE',
        help='annotations of --images, a JSON file in COCO format; images are matched by their file names',
    )
    parser.add_argument(
        '--score-thr',
        nargs='+',
        default=[],
        metavar='S|NAME=S',
        help=f'minimum score of the boxes to draw, for all models or for one; default: {SCORE_THR}. AP counts all boxes',
    )
    parser.add_argument(
        '--html',
        action='store_true',
        help=f'write one page, DIR/{PAGE}, which a browser opens without a network: slider between models, zoom, class filter, score '
        'thresholds, images sorted by the gain of one model over another; figures only if --format is given too',
    )
    parser.add_argument(
        '--max-images',
        type=count,
        metavar='N',
        help='draw only the first N images; scores are computed on all images',
    )
    add_device_argument(parser)
    add_sheet_arguments(parser)
    add_act_models_arguments(parser)
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    args = parser.parse_args(argv)
    check_model_names(parser, args)
    if args.gt and not args.images:
        parser.error('--gt needs --images; the test set of a config has its own annotations')
    try:
        args.score_thr = _thresholds(args.score_thr, [name for name, _, _ in args.model])
    except ValueError as error:
        parser.error(f'--score-thr: {error}')
    return args


def _thresholds(texts: Sequence[str], names: Sequence[str]) -> Dict[str, float]:
    found = dict.fromkeys(names, SCORE_THR)
    for text in texts:
        name, equals, value = text.rpartition('=')
        if equals and name not in names:
            raise ValueError(f'no model is called {name!r}; there are {", ".join(names)}')
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1:
            raise ValueError(f'expected a number from 0 to 1, found {value}')
        found.update({name: number} if equals else dict.fromkeys(names, number))
    return found


class Model(NamedTuple):
    """A model of the command line: its name, classes and colours, and the function that returns the boxes of an image."""

    name: str
    classes: Tuple[str, ...]
    palette: Optional[Sequence[Sequence[int]]]
    loader: Optional[dict]
    find: Callable[[Picture], Detections]


def load_models(
    args: argparse.Namespace, test_set: Optional[DetectionSet], console: Console
) -> List[Model]:
    """Load checkpoints and files of predictions.

    Raises:
        UserError: If a file does not exist or does not fit, or the models have different classes.
    """
    models = []
    for name, config, file in args.model:
        console.print(f'Loading {name}: {file}', markup=False, highlight=False)
        if file.endswith(('.pkl', '.pickle')):
            if test_set is None or args.images:
                raise UserError(
                    f'--model {name}: {file} has predictions for a test set, not for --images. Leave out --images, or give the '
                    'checkpoint.'
                )
            found = read_detections(file, test_set)
            own = load_detection_set(read_config(config), config)
            models.append(
                Model(name, own.classes, own.palette, None, lambda p, found=found: found[p.key])
            )
            continue
        detector = load_detector(name, config, file, args.device, config_change(args, name))
        models.append(
            Model(
                name,
                detector.classes,
                detector.palette,
                detector.loader,
                functools.partial(_predict, detector),
            )
        )
    check_same_classes([model.name for model in models], [model.classes for model in models])
    return models


def _predict(detector: Detector, picture: Picture) -> Detections:
    image = read_image(picture.path, detector.loader)
    picture.check_size(image.shape[1::-1])
    try:
        return detector.predict(image)
    except UserError as error:
        raise UserError(f'{picture.path}: {error}') from None


def draw(
    picture: Picture,
    predictions: Dict[str, Detections],
    models: Sequence[Model],
    args: argparse.Namespace,
    page: Optional[DetectionPage],
) -> None:
    """Write the figure of one image, add the image to the page, or both."""
    first = models[0]
    loader = next((model.loader for model in models if model.loader), None)
    image = read_image(picture.path, loader)
    picture.check_size(image.shape[1::-1])
    image = as_picture(image)
    if page is not None:
        page.add(picture.key, str(picture.name), image, predictions, picture.truth)
    if args.format or page is None:
        figure = draw_detections(
            image,
            predictions,
            picture.truth,
            classes=first.classes,
            palette=first.palette,
            score_thrs=args.score_thr,
            sheet=sheet_of(args),
        )
        path = with_ending(Path(args.out) / picture.name, f'.{args.format or "png"}')
        save_figure(figure, path)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Predict boxes with every model, summarise and draw them, and print where the pictures are and which images failed."""
    args = parse_args(argv)
    out = Path(args.out)
    require_writable('--out', out)
    args.device = usable_device(args.device)
    console = Console()
    test_set = None
    if not args.images:
        config = args.model[0][1]
        test_set = load_detection_set(read_config(config), config)
    models = load_models(args, test_set, console)
    if args.gt:
        test_set = read_annotations('--gt', args.gt, models[0].classes)
    elif test_set is not None:
        check_same_classes(
            [f'the test set of {args.model[0][1]}', models[0].name],
            [test_set.classes, models[0].classes],
        )
    if args.images:
        pictures = pictures_of_files(find_images(args.images, leave_out=out), test_set)
    else:
        pictures = pictures_of_set(test_set)
    wanted = pictures if test_set is not None else pictures[: args.max_images]

    problems: Dict[Hashable, str] = {}
    found: Dict[str, Dict[Hashable, Detections]] = {model.name: {} for model in models}
    for picture in progress('Detecting', wanted, console):
        try:
            boxes = [model.find(picture) for model in models]
        except UserError as error:
            problems[picture.key] = str(error)
            continue
        for model, own in zip(models, boxes):
            found[model.name][picture.key] = own
    wanted = [picture for picture in wanted if picture.key not in problems]

    summaries: Dict[str, DetectionSummary] = {}
    if test_set is not None and wanted:
        truth = {picture.key: picture.truth for picture in wanted}
        for model in models:
            summaries[model.name] = summarize(truth, found[model.name], len(model.classes))
        _report(summaries, wanted, out, console)

    drawn = 0
    page = _page(args, models, summaries) if args.html and wanted else None
    with page or contextlib.nullcontext():
        for picture in progress('Drawing', wanted[: args.max_images], console):
            try:
                boxes = {model.name: found[model.name][picture.key] for model in models}
                draw(picture, boxes, models, args, page)
                drawn += 1
            except UserError as error:
                problems[picture.key] = str(error)
    if drawn:
        noun = 'picture' if drawn == 1 else 'pictures'
        places = [f'on {(out / PAGE).absolute()}'] if args.html else []
        places += [f'in {out.absolute()}'] if args.format or not args.html else []
        console.print(
            f'{drawn} {noun} {" and ".join(places)}', markup=False, highlight=False, soft_wrap=True
        )
    if problems:
        listed = '\n  '.join(problems.values())
        raise UserError(
            f'{len(problems)} of {len(pictures)} images could not be drawn:\n  {listed}'
        )


def _page(
    args: argparse.Namespace, models: Sequence[Model], summaries: Dict[str, DetectionSummary]
) -> DetectionPage:
    return DetectionPage(
        Path(args.out) / PAGE,
        [model.name for model in models],
        models[0].classes,
        models[0].palette,
        args.score_thr,
        {name: summary.precision for name, summary in summaries.items()} or None,
    )


def _report(
    summaries: Dict[str, DetectionSummary],
    pictures: Sequence[Picture],
    out: Path,
    console: Console,
    number: int = 3,
) -> None:
    """Print the tables and the worst and best images, and write the numbers as JSON."""
    for table in summary_tables(summaries):
        console.print(table)
    names = {picture.key: str(picture.name) for picture in pictures}
    content = {}
    for name, summary in summaries.items():
        ranked = summary.ranked()
        lines = {'worst': ranked[:number], 'best': ranked[::-1][:number]}
        for word, keys in lines.items():
            listed = ', '.join(
                f'{names[key]} (AP {100 * summary.image_ap(key):.1f})' for key in keys
            )
            console.print(
                f'{name}, {word}: {listed}', markup=False, highlight=False, soft_wrap=True
            )
        content[name] = dict(
            summary_as_json(summary),
            ap_per_image={names[key]: round(summary.image_ap(key), 4) for key in ranked},
        )
    write_json(out / SUMMARY, content)
    console.print(
        f'Numbers in {(out / SUMMARY).absolute()}', markup=False, highlight=False, soft_wrap=True
    )


if __name__ == '__main__':
    main()
