"""Command-line options for size, layout and format of figures."""

import argparse
from pathlib import Path

from .comparison import FORMATS
from .layout import DEFAULT_WIDTH, Sheet

_CENTIMETRES = 2.54


def add_sheet_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--format``, ``--width``, ``--panel-width``, ``--columns``, ``--dpi``, ``--font-size``, ``--no-legend``, ``--no-scores``."""
    group = parser.add_argument_group('figures')
    group.add_argument(
        '--format',
        choices=FORMATS,
        help='file format; text in pdf and svg is vector graphics; default: png',
    )
    widths = group.add_mutually_exclusive_group()
    widths.add_argument(
        '--width',
        type=_length,
        default=DEFAULT_WIDTH,
        metavar='IN',
        help='width of a figure in inches, or with a unit (8.3cm, 234pt); in a paper, one column is about 3.25 in and both are '
        f'about 6.9 in; default: {DEFAULT_WIDTH}',
    )
    widths.add_argument(
        '--panel-width',
        type=_length,
        metavar='IN',
        help='width of a panel instead of the figure, in inches or with a unit',
    )
    group.add_argument(
        '--columns',
        type=_count,
        metavar='N',
        help='number of panels side by side; default: the number that makes them largest',
    )
    group.add_argument(
        '--dpi',
        type=_positive,
        metavar='N',
        help='pixels per inch; default: at least 200, and enough that no panel has fewer pixels than its image, up to 2048',
    )
    group.add_argument(
        '--font-size',
        type=_positive,
        default=8.0,
        metavar='PT',
        help='size of titles in points; other text is up to 1 pt smaller; default: 8',
    )
    group.add_argument('--no-legend', action='store_true', help='leave the legend out')
    group.add_argument('--no-scores', action='store_true', help='leave the scores out')


def sheet_of(args: argparse.Namespace) -> Sheet:
    """Creates a sheet from the options of :func:`add_sheet_arguments`."""
    return Sheet(
        width=args.width,
        panel_width=args.panel_width,
        columns=args.columns,
        dpi=args.dpi,
        font_size=args.font_size,
        legend=not args.no_legend,
        scores=not args.no_scores,
    )


def figure_file(folder: Path, name: Path, kind: str) -> Path:
    """Returns the file of a figure: ``folder/name.kind``. A dot in the name is kept."""
    return (folder / name).with_name(f'{name.name}.{kind}')


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'expected a number above 0, found {text}')
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected an integer of at least 1, found {text}')
    return int(text)


def _length(text: str) -> float:
    units = {'in': 1.0, 'cm': 1 / _CENTIMETRES, 'mm': 0.1 / _CENTIMETRES, 'pt': 1 / 72}
    number, factor = text, 1.0
    for unit, size in units.items():
        if text.endswith(unit):
            number, factor = text[: -len(unit)], size
    try:
        value = float(number) * factor
    except ValueError:
        value = 0.0
    if not 0.2 <= value <= 100:
        raise argparse.ArgumentTypeError(
            f'expected a length from 0.2 to 100 inches, such as 3.25, 8.3cm or 234pt; found {text}'
        )
    return value
