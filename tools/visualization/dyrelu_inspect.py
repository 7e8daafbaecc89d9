"""Inspect the DY-ReLUs of a network on many images, with the figures of the DY-ReLU paper.

    python tools/visualization/dyrelu_inspect.py CONFIG CHECKPOINT --out DIR [--images PATH ...] [--num-images N]
        [--layers NAME ...] [--seed N] [--device D] [--cfg-options K=V ...] [--act NAME ...]

DIR gets scatter.png, output against input for each layer (one x has a range of y); slopes.png, the distribution of |a1 - a2| for layers
from low to high; coefficients.png, the coefficients of each image as heat maps; for DY-ReLU-C, NAME_attention.png of each image, with the
spatial attention over the picture; and dyrelu.json with the numbers.
"""

import argparse
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import torch
from rich.console import Console
from rich.table import Table

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.engine.act_options import add_act_arguments
from mm_frelu.engine.errors import exit_on_user_error
from mm_frelu.engine.json_file import write_json
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.inspection.dynamic import DynamicRecord, band, quantiles, recording
from mm_frelu.inspection.layers import choose_layers, dynamic_layers, require_layers, short
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.dyrelu_figures import (
    attention_of,
    draw_attention,
    draw_coefficients,
    draw_scatter,
    draw_slope_differences,
)
from mm_frelu.visualization.image_files import ImageFile, targets_of
from mm_frelu.visualization.inspection_tool import (
    add_inspection_arguments,
    each_image,
    images_of,
    plain,
    report,
)
from mm_frelu.visualization.loaded_model import LoadedModel
from mm_frelu.visualization.model_options import config_change
from mm_frelu.visualization.trained_model import usable_device


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Inspect the DY-ReLUs of a network on many images.'
    )
    parser.add_argument('config', help='config of a model with DyReLUA, DyReLUB or DyReLUC')
    parser.add_argument('checkpoint', help='checkpoint of that model')
    add_inspection_arguments(
        parser,
        images=40,
        layers='DY-ReLUs to inspect, by name or pattern (backbone.layer2.*); default: all',
    )
    add_act_arguments(parser)
    parser.add_argument(
        '--seed', type=int, default=0, help='seed for choosing the values in the scatter plot'
    )
    return parser.parse_args(argv)


def summary(records: Dict[str, DynamicRecord]) -> List[dict]:
    """Return the numbers in the figures, layer by layer."""
    rows = []
    for name, record in records.items():
        differences = torch.cat(record.differences)
        slopes = torch.stack(record.slopes)
        _, ranges = band(record.sample)
        rows.append(
            dict(
                layer=name,
                slope_difference=dict(
                    mean=float(differences.mean()),
                    quantiles={
                        str(percent): float(quantiles(differences, percent / 100))
                        for percent in (1, 25, 50, 75, 99)
                    },
                ),
                range_of_y=float((ranges[1] - ranges[0]).mean()) if ranges.numel() else None,
                # Over images, for each channel. It is 0 for an activation that is not dynamic.
                slope_deviation=slopes.std(dim=0, unbiased=False).mean(dim=1).tolist(),
            )
        )
    return rows


def print_table(console: Console, rows: Sequence[dict]) -> None:
    """Print a line for each layer."""
    table = Table(title='DY-ReLUs from low to high')
    for heading in ('layer', 'mean |a1 - a2|', '1 % to 99 %', 'range of y at one x'):
        table.add_column(heading, justify='left' if heading == 'layer' else 'right')
    for row in rows:
        difference = row['slope_difference']
        table.add_row(
            short(row['layer']),
            f'{difference["mean"]:.2f}',
            f'{difference["quantiles"]["1"]:.2f} to {difference["quantiles"]["99"]:.2f}',
            '-' if row['range_of_y'] is None else f'{row["range_of_y"]:.2f}',
        )
    console.print(table)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Record all images, then draw."""
    args = parse_args(argv)
    out, device = Path(args.out), usable_device(args.device)
    require_writable('--out', out)
    console = Console()
    loaded = LoadedModel('the model', args.config, args.checkpoint, device, config_change(args))
    found = dynamic_layers(loaded.model)
    require_layers(
        found,
        'DyReLUA, DyReLUB or DyReLUC',
        args.config,
        '--act DyReLUB adds them. For FReLU use activation_field.py.',
    )
    others = [name for name, _ in loaded.model.named_modules() if name and name not in found]
    layers = {name: found[name] for name in choose_layers(found, args.layers, others=others)}
    images = images_of(args, loaded)
    targets, files = targets_of(images, out, '_attention.png'), []
    records: Dict[str, DynamicRecord] = {}
    seen: List[str] = []

    def look(image: ImageFile) -> None:
        prepared = loaded.prepare(image.path)
        if prepared.note:
            plain(console, prepared.note)
        with torch.no_grad(), recording(layers, records, prepared.inside, seed=args.seed):
            loaded.forward(prepared, image.path)
        seen.append(image.key.name)
        attention = attention_of(records)
        if attention:
            figure = draw_attention(image.key.name, prepared, attention)
            files.append(save_figure(figure, targets[image.path]))

    problems = each_image(console, 'Recording', images, look)
    require_layers(
        records, f'DY-ReLU among {", ".join(layers)} that runs in a test', args.config, ''
    )
    rows = summary(records)
    print_table(console, rows)
    for name, figure in (
        ('scatter', draw_scatter(records, len(seen))),
        ('slopes', draw_slope_differences(records, len(seen))),
        ('coefficients', draw_coefficients(records, seen)),
    ):
        files.append(save_figure(figure, out / f'{name}.png'))
    write_json(out / 'dyrelu.json', dict(images=seen, layers=rows))
    files.append(out / 'dyrelu.json')
    report(console, files, out, problems)


if __name__ == '__main__':
    main()
