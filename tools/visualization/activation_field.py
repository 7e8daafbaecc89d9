"""Draw the activate field of a network with FReLU on real features (Figure 3 of the FReLU paper).

    python tools/visualization/activation_field.py CONFIG CHECKPOINT --out DIR [--images PATH ...] [--num-images N]
        [--layers NAME ...] [--device D] [--cfg-options K=V ...] [--act NAME ...]

For each image, DIR gets NAME_field.png: the image, a map of the mean side of the activate field for each layer (by default the last
FReLU of each stage), and how the layer's value is divided among the sides {1, 1+r, ..., 1+nr}. For all images together, it gets
choices.png, the share of pixels that choose the window, per layer and channel, by depth; windows.png, the learned windows; and
activation_field.json with the numbers, including the channels that always or never choose the window. docs/inside.md has the definition.
"""

import argparse
from collections import defaultdict
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
from mm_frelu.inspection.choices import ChannelCounts, chose_window, watched
from mm_frelu.inspection.field import Field, trace_fields
from mm_frelu.inspection.layers import (
    choose_layers,
    funnel_layers,
    last_of_stages,
    require_layers,
    short,
)
from mm_frelu.inspection.windows import effective_windows
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.field_figures import (
    FieldPanel,
    draw_choices,
    draw_fields,
    draw_windows,
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
        description='Draw the activate field of a network with FReLU on real features.'
    )
    parser.add_argument('config', help='config of a model with FReLU or LightFReLU')
    parser.add_argument('checkpoint', help='checkpoint of that model')
    add_inspection_arguments(
        parser,
        images=8,
        layers='layers to draw, any layer of the model by name or pattern (backbone.layer2.*.act2, '
        'decode_head.bottleneck); default: the last FReLU of each stage',
    )
    add_act_arguments(parser)
    return parser.parse_args(argv)


class Looker:
    """Traces images and accumulates statistics over them.

    Args:
        loaded: The model.
        layers: Patterns of layers to draw, or None.

    Attributes:
        counts: Number of times that each channel of each FReLU chose the window.
        totals: Value of each FReLU by the side of its field, over all images.
        funnels: FReLUs that run when the model is tested, in the order of their calls.
    """

    def __init__(self, loaded: LoadedModel, layers: Optional[Sequence[str]]) -> None:
        self.loaded = loaded
        self.counts: Dict[str, ChannelCounts] = {}
        self.totals: Dict[str, Dict[int, float]] = defaultdict(lambda: defaultdict(float))
        self.funnels = funnel_layers(loaded.model)
        require_layers(
            self.funnels,
            'FReLU or LightFReLU',
            loaded.config,
            '--act FReLU adds them. For DY-ReLU use dyrelu_inspect.py.',
        )
        self.drawn: Optional[List[str]] = None
        if layers is not None:
            modules = dict(loaded.model.named_modules())
            modules.pop('', None)
            self.drawn = choose_layers(modules, layers)

    def look(self, image: ImageFile, console: Console) -> Dict[str, FieldPanel]:
        """Trace an image; returns the panels to draw."""
        self.prepared = prepared = self.loaded.prepare(image.path)
        if prepared.note:
            plain(console, prepared.note)
        counts: Dict[str, ChannelCounts] = {}
        sizes: Dict[str, tuple] = {}

        def see(call: str, x: torch.Tensor, y: torch.Tensor) -> None:
            name = call.partition('#')[0]
            count = ChannelCounts.of(prepared.inside(chose_window(x, y)))
            counts[name] = counts[name] + count if name in counts else count
            sizes.setdefault(name, tuple(y.shape[-2:]))

        with torch.no_grad(), watched(self.funnels, see):
            self.loaded.forward(prepared, image.path)
        running = {name: self.funnels[name] for name in counts}
        drawn = self.drawn or last_of_stages(list(running), sizes)
        modules = dict(self.loaded.model.named_modules())
        wanted = {**running, **{name: modules[name] for name in drawn}}
        fields = trace_fields(
            self.loaded.model,
            prepared.tensor,
            wanted,
            lambda: self.loaded.forward(prepared, image.path),
        )
        inside = {
            name: Field(field.sides, prepared.inside(field.parts)) for name, field in fields.items()
        }
        for name, count in counts.items():
            self.counts[name] = self.counts[name] + count if name in self.counts else count
            for side, part in zip(inside[name].sides, inside[name].parts):
                self.totals[name][side] += float(part.double().sum())
        return {
            name: FieldPanel(
                fields[name],
                inside[name].histogram,
                counts[name].share if name in counts else None,
            )
            for name in fields
            if name in drawn
        }

    @property
    def histograms(self) -> Dict[str, Dict[int, float]]:
        """Share of each layer's value by side, over all images."""
        return {
            name: {
                side: part / max(sum(sides.values()), 1e-300)
                for side, part in sorted(sides.items())
            }
            for name, sides in self.totals.items()
        }

    @property
    def windows(self) -> Dict[str, torch.Tensor]:
        """The learned windows by layer. If a layer has two windows, their shapes are added to the name."""
        return {
            f'{name} {shape}'.strip(): window
            for name in self.counts
            for shape, window in effective_windows(self.funnels[name]).items()
        }

    def numbers(self) -> List[dict]:
        """Return the numbers in the figures, layer by layer."""
        rows = []
        for name, count in self.counts.items():
            histogram = self.histograms[name]
            rows.append(
                dict(
                    layer=name,
                    window_share=count.share,
                    window_share_of_channels=count.shares.tolist(),
                    always=count.always,
                    never=count.never,
                    mean_side=sum(side * share for side, share in histogram.items()),
                    field={str(side): share for side, share in histogram.items()},
                )
            )
        return rows


def print_table(console: Console, rows: Sequence[dict]) -> None:
    """Print a line for each layer."""
    table = Table(title='FReLUs from low to high')
    for heading in ('layer', 'window chosen', 'mean side', 'channels', 'always', 'never'):
        table.add_column(heading, justify='left' if heading == 'layer' else 'right')
    for row in rows:
        table.add_row(
            short(row['layer']),
            f'{100 * row["window_share"]:.1f} %',
            f'{row["mean_side"]:.2f}',
            str(len(row['window_share_of_channels'])),
            str(len(row['always'])),
            str(len(row['never'])),
        )
    console.print(table)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Trace and draw all images, then draw the figures for all images together."""
    args = parse_args(argv)
    out, device = Path(args.out), usable_device(args.device)
    require_writable('--out', out)
    console = Console()
    loaded = LoadedModel('the model', args.config, args.checkpoint, device, config_change(args))
    looker = Looker(loaded, args.layers)
    images = images_of(args, loaded)
    targets, files = targets_of(images, out, '_field.png'), []

    def look(image: ImageFile) -> None:
        panels = looker.look(image, console)
        figure = draw_fields(image.key.name, looker.prepared, panels)
        files.append(save_figure(figure, targets[image.path]))

    problems = each_image(console, 'Tracing', images, look)
    rows = looker.numbers()
    print_table(console, rows)
    drawn = len(images) - len(problems)
    figure = draw_choices(looker.counts, looker.histograms, drawn)
    files.append(save_figure(figure, out / 'choices.png'))
    windows = looker.windows
    if windows:
        files.append(save_figure(draw_windows(windows, looker.counts), out / 'windows.png'))
    write_json(out / 'activation_field.json', dict(images=drawn, layers=rows))
    files.append(out / 'activation_field.json')
    report(console, files, out, problems)


if __name__ == '__main__':
    main()
