"""Compare parameters and multiply-adds of this package's networks with the numbers in the papers.

    python tools/analysis_tools/compare_flops.py [--markdown] [--network ResNet-50 ...]

The networks are classifiers of 1000 classes, counted for one image of 224x224 on torch's meta device. No data and no weights are needed.
"""

import argparse
from typing import Iterable, List, NamedTuple, Optional, Sequence

from rich.console import Console
from rich.table import Table

import mm_frelu  # noqa: F401  (registers the networks)
from mm_frelu.analysis.classifier import ClassifierCost, classifier_cost
from mm_frelu.analysis.complexity import COUNTED
from mm_frelu.analysis.paper_figures import Pair, Printed, agrees, dy_relu_pairs, frelu_rows
from mm_frelu.engine import UserError, exit_on_user_error

FRELU_NOTE = (
    'A row agrees if our number, rounded up or down, is the number in the paper, with or without the parameters of norms. '
    'The ResNets of table 1 seem to be counted without them.'
)
DY_RELU_NOTE = (
    'DY-ReLU-B with K = 2 and R = 8 in the blocks; stem and last convolution keep their activation. "paper" is the growth '
    'stated in its abstract. Its tables, and which layers it replaces, were not available, so nothing else is quoted.'
)


class Comparison(NamedTuple):
    """A table to print."""

    title: str
    headings: Sequence[str]
    rows: List[Sequence[str]]
    note: str


def compare_frelu(rows: Sequence[Printed]) -> Comparison:
    """Compare with the tables of the FReLU paper."""
    table = []
    for row in rows:
        ours = classifier_cost(*row.network)
        without_norms = ours.parameters - ours.norm_parameters
        same_parameters = any(agrees(n, row.parameters) for n in (ours.parameters, without_norms))
        same = same_parameters and agrees(ours.macs, row.macs)
        table.append(
            (
                row.name,
                row.placement,
                f'{ours.parameters / 1e6:.3f} M',
                f'{without_norms / 1e6:.3f} M',
                row.parameters,
                _readable(ours.macs),
                f'{row.macs} ({row.table})',
                'agrees' if same else f'differs: {row.remark}',
            )
        )
    headings = ('network', 'activation', 'parameters', 'without norms', 'paper')
    headings += ('MACs', 'paper', '')
    return Comparison('FReLU paper, ImageNet', headings, table, FRELU_NOTE)


def compare_dy_relu(pairs: Sequence[Pair]) -> Comparison:
    """Compare with the networks of the DY-ReLU paper."""
    table = []
    for pair in pairs:
        baseline, dynamic = (classifier_cost(*network) for network in (pair.baseline, pair.dynamic))
        table.append(
            (
                pair.name,
                pair.placement,
                *_growth(baseline, dynamic, 'parameters'),
                *_growth(baseline, dynamic, 'macs'),
                pair.growth or '-',
            )
        )
    headings = ('network', 'DY-ReLU at', 'parameters', 'with DY-ReLU', 'growth')
    headings += ('MACs', 'with DY-ReLU', 'growth', 'paper')
    return Comparison('DY-ReLU paper, ImageNet', headings, table, DY_RELU_NOTE)


def _growth(baseline: ClassifierCost, dynamic: ClassifierCost, key: str) -> Sequence[str]:
    before, after = getattr(baseline, key), getattr(dynamic, key)
    return _readable(before), _readable(after), f'{after / before - 1:+.1%}'


def _readable(number: int) -> str:
    return f'{number / 1e9:.3f} G' if number >= 1e9 else f'{number / 1e6:.2f} M'


def markdown(comparison: Comparison) -> Iterable[str]:
    """Yield the lines of a comparison as Markdown."""
    yield f'### {comparison.title}'
    yield ''
    yield from (
        f'| {" | ".join(cells)} |'
        for cells in (comparison.headings, ['---'] * len(comparison.headings), *comparison.rows)
    )
    yield ''
    yield comparison.note


def print_table(console: Console, comparison: Comparison) -> None:
    """Print a comparison as a table."""
    table = Table(title=comparison.title)
    for number, heading in enumerate(comparison.headings):
        table.add_column(heading, justify='left' if number < 2 or not heading else 'right')
    for cells in comparison.rows:
        table.add_row(*cells)
    console.print(table)
    console.print(comparison.note, highlight=False)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(
        description='Compare parameters and multiply-adds with the numbers in the papers.'
    )
    parser.add_argument('--markdown', action='store_true', help='print Markdown')
    parser.add_argument(
        '--network', nargs='+', metavar='NAME', help='only these networks, for example ResNet-50'
    )
    args = parser.parse_args(argv)
    rows, pairs = frelu_rows(), dy_relu_pairs()
    names = list(dict.fromkeys(row.name for row in (*rows, *pairs)))
    wanted = names if args.network is None else args.network
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise UserError(f'--network {unknown[0]}: there is no such row. Use {", ".join(names)}.')
    comparisons = [
        compare_frelu([row for row in rows if row.name in wanted]),
        compare_dy_relu([pair for pair in pairs if pair.name in wanted]),
    ]
    console = Console(width=160)
    for comparison in comparisons:
        if comparison.rows and args.markdown:
            print('\n'.join(markdown(comparison)), end='\n\n')
        elif comparison.rows:
            print_table(console, comparison)
    print(COUNTED)


if __name__ == '__main__':
    main()
