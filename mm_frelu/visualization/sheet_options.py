"""Command-line options for size, layout and format of figures."""

import argparse

from .comparison import FORMATS
from .layout import DEFAULT_WIDTH, Sheet
from .option_types import count, length, positive


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
        type=length,
        default=DEFAULT_WIDTH,
        metavar='IN',
        help='width of a figure in inches, or with a unit (8.3cm, 234pt); in a paper, one column is about 3.25 in and both are '
        f'about 6.9 in; default: {DEFAULT_WIDTH}',
    )
    widths.add_argument(
        '--panel-width',
        type=length,
        metavar='IN',
        help='width of a panel instead of the figure, in inches or with a unit',
    )
    group.add_argument(
        '--columns',
        type=count,
        metavar='N',
        help='number of panels side by side; default: the number that makes them largest',
    )
    group.add_argument(
        '--dpi',
        type=positive,
        metavar='N',
        help='pixels per inch; default: at least 200, and enough that no panel has fewer pixels than its image, up to 2048',
    )
    group.add_argument(
        '--font-size',
        type=positive,
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
