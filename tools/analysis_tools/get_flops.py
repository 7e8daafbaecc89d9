"""Count parameters and multiply-adds of a config's model, by part: backbone, its activations, neck, heads.

    python tools/analysis_tools/get_flops.py CONFIG [--shape H W] [--json FILE] [--cfg-options K=V ...]
        [--act NAME [--act-cfg K=V ...] [--act-include PATTERN ...] [--act-exclude PATTERN ...]]

No data and no weights are needed. If torch's meta device supports all operations of the model, nothing is computed.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import List, Optional, Sequence

import torch
from rich.console import Console
from rich.table import Table

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.analysis.complexity import COUNTED, Cost, Part
from mm_frelu.analysis.input_shape import InputShape, input_shape
from mm_frelu.analysis.model_cost import measure, readable, total_of
from mm_frelu.engine import exit_on_user_error
from mm_frelu.engine.act_options import add_act_arguments, apply_act_options
from mm_frelu.engine.arguments import read_config
from mm_frelu.engine.json_file import write_json
from mm_frelu.engine.launch import require_keys
from mm_frelu.engine.settings import SettingsAction, merge_settings
from mm_frelu.engine.write_file import require_target


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Count parameters and multiply-adds of a model, by part.'
    )
    parser.add_argument(
        'config', help='config file, or one of an installed library: mmdet::retinanet/NAME.py'
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='height and width of the input; default: as in the test pipeline',
    )
    parser.add_argument('--json', metavar='FILE', help='also write the exact numbers to this file')
    parser.add_argument('--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE')
    add_act_arguments(parser)
    return parser.parse_args(argv)


def print_table(name: str, shape: InputShape, parts: List[Part]) -> None:
    """Print one row per part, with a row for its activations below it."""
    total = total_of(parts)
    table = Table(title=name)
    table.add_column('part', no_wrap=True)
    for heading in ('parameters', 'MACs', 'of MACs'):
        table.add_column(heading, justify='right', no_wrap=True)

    def add(name: str, cost: Cost, style: Optional[str] = None) -> None:
        share = f'{cost.macs / total.macs:.1%}' if total.macs else '-'
        table.add_row(name, f'{cost.parameters:,}', readable(cost.macs), share, style=style)

    for part in parts:
        add(part.name or '(outside of parts)', part)
        if part.sites:
            sites = ', '.join(f'{number} {kind}' for kind, number in part.sites.items())
            add(f'  in its activations: {sites}', part.activations, 'dim')
    table.add_section()
    add('total', total, 'bold')
    console = Console(width=120)
    console.print(table)
    size = f'{shape.height}x{shape.width} pixels (H x W)'
    console.print(f'Input: one image of {size}, {shape.source}.', highlight=False)
    idle = [part.name for part in parts if part.parameters and not part.macs]
    if idle:
        console.print(f'No multiply-adds when testing: {", ".join(idle)}.', highlight=False)
    console.print(COUNTED, highlight=False)


def save(file: str, config: str, shape: InputShape, parts: List[Part]) -> None:
    """Write the exact numbers to a file, atomically."""
    content = dict(
        config=config,
        shape=[shape.height, shape.width],
        shape_from=shape.source,
        total=asdict(total_of(parts)),
        parts={part.name: {k: v for k, v in asdict(part).items() if k != 'name'} for part in parts},
        counted=COUNTED,
        torch=torch.__version__,
    )
    write_json(file, content)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Count and print."""
    args = parse_args(argv)
    if args.json:
        require_target('--json', args.json)
    cfg = read_config(args.config)
    merge_settings(cfg, args.cfg_options)
    require_keys(cfg, ('model',), 'counting')
    shape = input_shape(cfg, args.shape and tuple(args.shape))
    apply_act_options(cfg, args)
    parts = measure(cfg, shape)
    print_table(Path(args.config).stem, shape, parts)
    if args.json:
        save(args.json, args.config, shape, parts)


if __name__ == '__main__':
    main()
