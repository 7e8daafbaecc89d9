"""Measure time and memory of one activation for each backend, and compare them with ReLU and the floor.

    python tools/analysis_tools/benchmark_activation.py
    python tools/analysis_tools/benchmark_activation.py --shapes 64x64x128 1024x16x32 --batch 2 --mode frozen --json a.json

The floor is the time of the minimum number of passes over the feature map, at the bandwidth of a plain copy of the same tensor,
measured in the same run. On a CPU, blocks that fit into the cache can be faster than the floor.

========  ===============================================================================  ===================================
mode      FReLU                                                                            DY-ReLU
========  ===============================================================================  ===================================
train     8: read x for the statistics; read x, write y; read x and the gradient for the   8: the same, with means instead of
          sums; read both again, write the gradient of x                                   statistics
frozen    5: no statistics                                                                 8
eval      2: read x, write y                                                               3: the means again
========  ===============================================================================  ===================================

The column 'passes' counts what the ops read and write, forward and backward, when they run on a GPU. On a CPU, ``recompute``
processes blocks of channels, and most of this traffic stays in the cache.

On a GPU, a step takes the larger of two times: 'device ms' is the total time of its kernels, from torch's profiler, and
'host ms' is the time of Python and the launches. The ratios to eager and to the floor then use the device times.
"""

import argparse
import copy
import statistics
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from benchmark_ops import positive, surroundings
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import mm_frelu  # noqa: F401  (registers the activations)
from mm_frelu import build_activation
from mm_frelu.analysis.kept_for_backward import kept_bytes
from mm_frelu.analysis.measure import (
    COPY_PASSES,
    copier,
    device_ms,
    host_ms,
    interleaved,
    peak_bytes,
)
from mm_frelu.analysis.memory_passes import passes
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.json_file import write_json
from mm_frelu.engine.write_file import require_target, write_file

RESNET50_SITES = (
    '64x128x256',
    '256x128x256',
    '128x64x128',
    '512x64x128',
    '256x32x64',
    '1024x32x64',
)
"""Channels, height and width at the sites of layer1 to layer3, for an image of 512x1024."""

FUNNEL_FLOOR = {'train': 8, 'frozen': 5, 'eval': 2, 'deploy': 2}
DYNAMIC_FLOOR = {'train': 8, 'frozen': 8, 'eval': 3, 'deploy': 3}
FLOORS = {
    'FReLU': FUNNEL_FLOOR,
    'LightFReLU': FUNNEL_FLOOR,
    'DyReLUA': DYNAMIC_FLOOR,
    'DyReLUB': DYNAMIC_FLOOR,
    'DyReLUC': DYNAMIC_FLOOR,
}
"""Minimum number of passes by layer and mode, see above."""
DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
LAYOUTS = {'nchw': torch.contiguous_format, 'channels_last': torch.channels_last}
BACKENDS = ('relu', 'eager', 'compile', 'recompute', 'numba', 'triton')


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--layer', choices=tuple(FLOORS), default='FReLU')
    parser.add_argument('--shapes', nargs='+', default=RESNET50_SITES, metavar='CxHxW')
    parser.add_argument('--batch', type=positive, default=1)
    parser.add_argument('--dtype', choices=sorted(DTYPES), default='float32')
    parser.add_argument('--layout', choices=sorted(LAYOUTS), default='nchw')
    parser.add_argument('--mode', choices=tuple(FUNNEL_FLOOR), default='train')
    parser.add_argument('--backends', nargs='+', choices=BACKENDS, default=BACKENDS)
    parser.add_argument(
        '--repeat',
        type=positive,
        default=10,
        help='number of timed rounds, after two warm-up rounds',
    )
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='also write the numbers to this file'
    )
    parser.add_argument('--plot', type=Path, metavar='FILE', help='also draw time against size')
    return parser.parse_args(argv)


def shape_of(text: str, batch: int) -> Tuple[int, int, int, int]:
    """Parse ``64x128x256`` to (N, C, H, W)."""
    lengths = text.split('x')
    if len(lengths) != 3 or not all(length.isdecimal() and int(length) for length in lengths):
        raise UserError(
            f'--shapes {text}: expected channels, height and width, such as 64x128x256.'
        )
    return (batch, *(int(length) for length in lengths))


def build_layers(args: argparse.Namespace, channels: int) -> Dict[str, nn.Module]:
    """Build the layer for each backend, with the same weights, and the references: ReLU and the compiled eager layer."""
    torch.manual_seed(0)
    layer = build_activation(dict(type=args.layer), channels).to(args.device)
    layer = layer.to(memory_format=LAYOUTS[args.layout])
    layer.train(args.mode == 'train')
    if args.mode == 'deploy' and hasattr(layer, 'switch_to_deploy'):
        layer.switch_to_deploy()
    layers: Dict[str, nn.Module] = {}
    for name in args.backends:
        if name == 'relu':
            layers[name] = nn.ReLU(inplace=False)
            continue
        layers[name] = copy.deepcopy(layer)
        layers[name].implementation = 'eager' if name == 'compile' else name
        if name == 'compile':
            layers[name] = torch.compile(layers[name])
    return layers


def count_passes(args: argparse.Namespace, name: str, layer: nn.Module, x: Tensor) -> List[float]:
    """Count the passes of forward and backward; empty if they cannot be counted.

    A layer on a CPU is counted on torch's meta device, where it runs like on a GPU. Compiled graphs, Numba's loops and fused kernels
    cannot be counted.
    """
    if name in ('compile', 'numba', 'triton'):
        return []
    if x.device.type == 'cpu':
        layer, x = (
            copy.deepcopy(layer).to('meta'),
            x.detach().to('meta').requires_grad_(x.requires_grad),
        )
    outs = []
    with torch.set_grad_enabled(x.requires_grad):
        counts = [passes(lambda: outs.append(layer(x)), x)]
    if x.requires_grad:
        inputs = [x, *layer.parameters()]
        grads = torch.empty_like(outs[0])
        counts.append(passes(lambda: torch.autograd.grad(outs[0], inputs, grads), x))
    return counts


def measure_shape(args: argparse.Namespace, text: str) -> Dict[str, Any]:
    """Measure all backends for one shape."""
    device, dtype = torch.device(args.device), DTYPES[args.dtype]
    shape = shape_of(text, args.batch)
    x = torch.randn(shape, device=device).to(dtype).to(memory_format=LAYOUTS[args.layout])
    learns = args.mode in ('train', 'frozen')
    x.requires_grad_(learns)
    grad = torch.randn_like(x)
    low = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)

    def forward(layer: nn.Module) -> Tensor:
        with low, torch.set_grad_enabled(learns):
            return layer(x)

    def step(layer: nn.Module) -> None:
        out = forward(layer)
        if learns:
            x.grad = None
            layer.zero_grad(set_to_none=True)
            out.backward(grad)

    layers, absent = build_layers(args, shape[1]), {}
    for name, layer in list(layers.items()):
        try:
            step(layer)
        except RuntimeError as reason:  # a missing backend or compiler
            absent[name] = str(reason).strip().splitlines()[0]
            del layers[name]
    runs = {name: partial(step, layer) for name, layer in layers.items()}
    copy_once = copier(x.detach())
    times = interleaved({'copy': copy_once, **runs}, args.repeat, device)
    of_copy = device_ms(copy_once, device)
    of_copy = times['copy'].median if of_copy is None else of_copy
    floor = of_copy * FLOORS[args.layer][args.mode] / COPY_PASSES
    size = x.numel() * x.element_size()
    rows = []
    for name, layer in layers.items():
        with low:
            kept = kept_bytes(layer, x) if learns else 0
            counted = count_passes(args, name, layer, x)
        row = dict(backend=name, **times[name]._asdict(), kept_bytes=kept, kept_of_x=kept / size)
        row['device_ms'] = device_ms(runs[name], device)
        row['host_ms'] = None if row['device_ms'] is None else host_ms(runs[name], device)
        row['passes'] = counted
        row['peak_bytes'] = peak_bytes(runs[name], device)
        rows.append(row)
    return dict(shape=list(shape), bytes=size, floor_ms=floor, backends=rows, absent=absent)


def computing_ms(row: Dict[str, Any]) -> float:
    """Return the time that ratios are computed from: the device time, or the median on a CPU."""
    return row['median'] if row['device_ms'] is None else row['device_ms']


def print_table(args: argparse.Namespace, results: List[Dict[str, Any]]) -> None:
    """Print one row for each shape and backend."""
    console = Console(width=148)
    table = Table(
        title=f'{args.layer}, {args.mode}, {args.dtype}, {args.layout}, batch {args.batch}'
    )
    headings = (
        'shape',
        'backend',
        'median ms',
        'fastest to slowest',
        'device ms',
        'host ms',
        'of eager',
        'of floor',
        'passes',
        'kept / x',
        'peak',
    )
    for heading in headings:
        table.add_column(
            heading, justify='left' if heading in headings[:2] else 'right', no_wrap=True
        )
    for result in results:
        computing = {row['backend']: computing_ms(row) for row in result['backends']}
        shape = 'x'.join(str(length) for length in result['shape'])
        for row in result['backends']:
            own, peak = computing_ms(row), row['peak_bytes']
            table.add_row(
                shape,
                row['backend'],
                f'{row["median"]:.2f}',
                f'{row["fastest"]:.2f} to {row["slowest"]:.2f}',
                _milliseconds(row['device_ms']),
                _milliseconds(row['host_ms']),
                f'{own / computing["eager"]:.2f}' if 'eager' in computing else '-',
                f'{own / result["floor_ms"]:.2f}',
                ' + '.join(f'{count:.1f}' for count in row['passes']) or '-',
                f'{row["kept_of_x"]:.2f}',
                '-' if peak is None else f'{peak / 2**20:.0f} MiB',
            )
            shape = ''
        floor = f'floor, {FLOORS[args.layer][args.mode]} passes'
        table.add_row('', floor, f'{result["floor_ms"]:.3f}')
        table.add_section()
    console.print(table)
    for name, reason in {n: r for result in results for n, r in result['absent'].items()}.items():
        console.print(f'Absent here: {name}: {reason}', highlight=False, soft_wrap=True)


def _milliseconds(value: Optional[float]) -> str:
    return '-' if value is None else f'{value:.3f}'


def draw(path: Path, results: List[Dict[str, Any]]) -> None:
    """Draw time against the size of the feature map, with the floor."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=150, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in BACKENDS:
        times = [
            (result['bytes'] / 2**20, computing_ms(row))
            for result in results
            for row in result['backends']
            if row['backend'] == name
        ]
        if times:
            (line,) = axes.plot(*_means(times), label=name)
            axes.plot(*zip(*times), 'o', color=line.get_color())
    floor = [(result['bytes'] / 2**20, result['floor_ms']) for result in results]
    axes.plot(*_means(floor), 'k--', label='floor')
    sizes = sorted({size for size, _ in floor})
    axes.set(xlabel='size of x, MiB', ylabel='time, ms')
    axes.set_xscale('log')
    axes.set_yscale('log')
    axes.set_xticks(sizes, [f'{size:g}' for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter('{x:g}')
    axes.grid(color='0.9')
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside right upper', frameon=False)
    with write_file(path, 'wb') as stream:
        figure.savefig(stream, format=path.suffix.lstrip('.').lower() or None)


def _means(times: List[Tuple[float, float]]) -> Tuple[List[float], List[float]]:
    """Return the sizes and the mean time of each size, because several shapes may have the same size."""
    sizes = sorted({size for size, _ in times})
    return sizes, [
        statistics.mean(time for other, time in times if other == size) for size in sizes
    ]


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Measure, print, write and draw."""
    args = parse_args(argv)
    for option in ('json', 'plot'):
        if getattr(args, option):
            require_target(f'--{option}', getattr(args, option))
    for text in args.shapes:
        shape_of(text, args.batch)
    header = surroundings(args.device)
    results = [measure_shape(args, text) for text in args.shapes]
    for key, value in header.items():
        print(f'{key}: {value}')
    print_table(args, results)
    if args.json:
        options = {key: value for key, value in vars(args).items() if key not in ('json', 'plot')}
        write_json(args.json, dict(surroundings=header, options=options, results=results))
    if args.plot:
        draw(args.plot, results)


if __name__ == '__main__':
    main()
