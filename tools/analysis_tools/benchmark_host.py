"""Measure the host's work for one fused FReLU: time, kernel launches, allocations and Python calls.

    python tools/analysis_tools/benchmark_host.py
    python tools/analysis_tools/benchmark_host.py --device cpu --repeat 200 --json host.json

On a GPU, a step takes the larger of device time and host time. With small feature maps or many layers, that is the host time.
Without a GPU nothing is launched: a dummy driver replaces the real one, and the times include only Python and allocations. The counts
are the same, and tests check them.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from benchmark_ops import positive, surroundings
from rich.console import Console
from rich.table import Table

import mm_frelu  # noqa: F401  (registers the activations)
from mm_frelu.analysis.host_work import activation_runs, driver, host_work
from mm_frelu.engine import exit_on_user_error
from mm_frelu.engine.json_file import write_json
from mm_frelu.engine.output_folder import require_writable

BUDGET_MS = 0.25
"""Maximum host time of a layer in a training step."""
ROUNDS = 5
DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--dtype', choices=sorted(DTYPES), default='bfloat16')
    parser.add_argument(
        '--repeat', type=positive, default=100, help='number of runs in each of five rounds'
    )
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='also write the numbers to this file'
    )
    return parser.parse_args(argv)


def time_of(run: Callable[[], object], repeat: int, device: torch.device) -> List[float]:
    """Measure the time until a run returns, in milliseconds: of the median and of the fastest round."""
    taken = []
    for _ in range(ROUNDS):
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(repeat):
            run()
        taken.append((time.perf_counter() - start) * 1000 / repeat)
    return [statistics.median(taken), min(taken)]


def measure(args: argparse.Namespace) -> List[Dict[str, Any]]:
    """Measure counts and times of all cases."""
    device, dtype = torch.device(args.device), DTYPES[args.dtype]
    low = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
    rows = []
    with driver(device) as started, low:
        for name, run in activation_runs(device, dtype).items():
            work = host_work(run, started)
            median, fastest = time_of(run, args.repeat, device)
            started.clear()
            rows.append(dict(case=name, host_ms=median, fastest_host_ms=fastest, **work._asdict()))
    return rows


def print_table(title: str, rows: List[Dict[str, Any]]) -> None:
    """Print one row for each case."""
    table = Table('case', title=title)
    for heading in ('host ms', 'fastest', 'launches', 'allocations', 'Python calls'):
        table.add_column(heading, justify='right', no_wrap=True)
    for row in rows:
        table.add_row(
            row['case'],
            f'{row["host_ms"]:.3f}',
            f'{row["fastest_host_ms"]:.3f}',
            *(str(row[name]) for name in ('launches', 'allocations', 'calls')),
        )
    console = Console(width=120)
    console.print(table)
    console.print(f'The budget of a training step is {BUDGET_MS} ms for each layer.')


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Count, measure, print, write."""
    args = parse_args(argv)
    if args.json:
        require_writable('--json: the folder', args.json.absolute().parent)
    rows = measure(args)
    header = surroundings(args.device)
    for key, value in header.items():
        print(f'{key}: {value}')
    kind = 'real launches' if torch.device(args.device).type == 'cuda' else 'nothing is launched'
    print_table(f'Host work of one FReLU, {args.dtype}, {kind}', rows)
    if args.json:
        options = {key: value for key, value in vars(args).items() if key != 'json'}
        write_json(args.json, dict(surroundings=header, options=options, rows=rows))


if __name__ == '__main__':
    main()
