"""Compare the same layer of two models on one image: channel means, chosen channels and effective receptive fields.

    python tools/visualization/feature_compare.py --model NAME CONFIG CHECKPOINT --model NAME CONFIG CHECKPOINT --layer NAME
        --images PATH ... --out DIR [--channels N ...] [--pixel X,Y] [--device D] [--act NAME [--act-models NAME ...] ...]

DIR gets a picture for each image, NAME_LAYER.png, and feature_compare.json. MMEngine's Visualizer draws the maps over the image. The
effective receptive field is the gradient of the layer's sum over channels at one position with respect to the image.
"""

import argparse
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from rich.console import Console

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.json_file import write_json
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.inspection.features import Features, features_at, most_different, side_that_holds
from mm_frelu.inspection.layers import find_layer
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.feature_figures import SHARES, draw_comparison_of_features
from mm_frelu.visualization.image_files import ImageFile, targets_of
from mm_frelu.visualization.inspection_tool import (
    add_inspection_arguments,
    each_image,
    images_of,
    plain,
    report,
)
from mm_frelu.visualization.loaded_model import LoadedModel, Prepared
from mm_frelu.visualization.model_options import (
    add_act_models_arguments,
    add_model_argument,
    check_model_names,
    config_change,
)
from mm_frelu.visualization.option_types import count
from mm_frelu.visualization.trained_model import usable_device


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Compare the same layer of two models on one image.'
    )
    add_model_argument(parser, '; give two models')
    parser.add_argument(
        '--layer',
        required=True,
        metavar='NAME',
        help='a module of both models, such as backbone.layer2',
    )
    parser.add_argument(
        '--channels',
        nargs='+',
        type=_channel,
        metavar='N',
        help='channels to draw, counted from 0; default: the channels whose means differ most',
    )
    parser.add_argument(
        '--num-channels',
        type=count,
        default=3,
        metavar='N',
        help='number of channels to choose without --channels; default: 3',
    )
    parser.add_argument(
        '--pixel',
        type=_pixel,
        metavar='X,Y',
        help='pixel of the image file (upright) whose receptive field is drawn; default: the centre',
    )
    add_inspection_arguments(parser, images=1)
    add_act_models_arguments(parser)
    args = parser.parse_args(argv)
    if len(args.model) != 2:
        parser.error(f'--model: give two models, found {len(args.model)}')
    check_model_names(parser, args)
    return args


def _channel(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f'expected a channel index, found {text}')
    return int(text)


def _pixel(text: str) -> Tuple[int, int]:
    parts = text.split(',')
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f'expected two numbers, x,y; found {text}')
    return int(parts[0]), int(parts[1])


def compare(
    image: ImageFile, models: Sequence[LoadedModel], args: argparse.Namespace, console: Console
) -> Tuple[Dict[str, Tuple[Prepared, Features]], Tuple[float, float]]:
    """Compute the layer of both models for an image; return the features, and the pixel as shares of height and width.

    Raises:
        UserError: For a pixel outside of the image.
    """
    found = {}
    for loaded in models:
        prepared = loaded.prepare(image.path)
        if prepared.note:
            plain(console, prepared.note)
        width, height = prepared.original
        x, y = args.pixel or (width // 2, height // 2)
        if x >= width or y >= height:
            raise UserError(
                f'{image.path}: --pixel {x},{y} is outside of the image, which has {width}x{height} pixels.'
            )
        share = (y + 0.5) / height, (x + 0.5) / width
        seen = prepared.picture.shape[:2]
        features = features_at(
            find_layer(loaded.model, args.layer, loaded.name),
            args.layer,
            prepared.tensor,
            lambda tensor, loaded=loaded, prepared=prepared: loaded.forward(
                prepared._replace(tensor=tensor), image.path
            ),
            (share[0] * seen[0], share[1] * seen[1]),
        )
        found[loaded.name] = prepared, features
    return found, share


def choose_channels(features: Sequence[Features], args: argparse.Namespace) -> List[int]:
    """Return the channels to draw.

    Raises:
        UserError: For a channel that a model's layer does not have.
    """
    first, second = (one.means for one in features)
    if args.channels is None:
        return most_different(first, second, args.num_channels)
    number = min(len(first), len(second))
    for channel in args.channels:
        if channel >= number:
            raise UserError(
                f'--channels {channel}: {args.layer} has the channels 0 to {number - 1} in both models.'
            )
    return args.channels


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Compare the models on each image."""
    args = parse_args(argv)
    out, device = Path(args.out), usable_device(args.device)
    require_writable('--out', out)
    console = Console()
    models = []
    for name, config, checkpoint in args.model:
        plain(console, f'Loading {name}: {checkpoint}')
        models.append(LoadedModel(name, config, checkpoint, device, config_change(args, name)))
    for loaded in models:
        find_layer(loaded.model, args.layer, loaded.name)  # before the first image is read
    images = images_of(args, models[0])
    targets, files, rows = targets_of(images, out, f'_{args.layer}.png'), [], []

    def look(image: ImageFile) -> None:
        found, pixel = compare(image, models, args, console)
        channels = choose_channels([features for _, features in found.values()], args)
        figure = draw_comparison_of_features(image.key.name, args.layer, found, channels, pixel)
        files.append(save_figure(figure, targets[image.path]))
        for name, (prepared, features) in found.items():
            seen = prepared.picture.shape[:2]
            place = pixel[0] * seen[0], pixel[1] * seen[1]
            rows.append(
                dict(
                    image=str(image.path),
                    model=name,
                    layer=args.layer,
                    shape=list(features.maps.shape),
                    means=[float(value) for value in features.means],
                    channels=channels,
                    sides={
                        f'{100 * share:.0f} %': side_that_holds(features.gradient, place, share)
                        for share in SHARES
                    },
                )
            )

    problems = each_image(console, 'Comparing', images, look)
    write_json(out / 'feature_compare.json', dict(rows=rows))
    files.append(out / 'feature_compare.json')
    report(console, files, out, problems)


if __name__ == '__main__':
    main()
