"""Measure the cost of each placement of FReLU in ResNet: parameters, memory saved for backward and, optionally, time.

    python tools/analysis_tools/placement_cost.py --depth 50 --shape 512 1024 --output-stride 8 [--steps 10]

The memory is counted, not estimated. The network runs forward on tensors without data (torch's meta device), and the sizes of all tensors
that autograd saves for backward are added, each once. A training step needs this memory in addition to parameters, gradients and optimizer
state. It does not depend on the machine. ``--steps`` also measures time, on a GPU if there is one: forward and backward of all placements
in turns, so that other load on the machine affects all of them alike.
"""

import argparse
from typing import Callable, Dict, Optional, Sequence, Tuple

import torch
from rich.console import Console
from rich.table import Table

from mm_frelu import ResNet
from mm_frelu.analysis.kept_for_backward import kept_bytes
from mm_frelu.analysis.measure import Time, interleaved

PLACEMENTS = {
    'ReLU': dict(act_cfg=dict(type='ReLU')),
    'FReLU, one site per block (partial)': dict(act_sites='partial'),
    'FReLU, layer3 only': dict(act_stages=(2,)),
    'FReLU, layer2 and layer3': dict(act_stages=(1, 2)),
    'FReLU, layer1 to layer3 (official)': dict(),
    'FReLU, all stages and stem': dict(act_stages=(0, 1, 2, 3), act_stem=True),
    'LightFReLU, layer1 to layer3': dict(act_cfg=dict(type='LightFReLU')),
    'ReLU, with_cp': dict(act_cfg=dict(type='ReLU'), with_cp=True),
    'FReLU, layer1 to layer3, with_cp': dict(with_cp=True),
}
OUTPUT_STRIDES = {
    32: dict(),
    8: dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True),
}


def measure(depth: int, shape: Tuple[int, int], batch: int, output_stride: int) -> Dict[str, Tuple]:
    """Count parameters and bytes saved for backward, for every placement.

    Args:
        depth: Depth of the ResNet.
        shape: Height and width of the images.
        batch: Number of images.
        output_stride: 32, or 8 for the dilated network of PSPNet.

    Returns:
        ``{placement: (parameters, bytes saved for backward)}``.
    """
    costs = {}
    for name, options in PLACEMENTS.items():
        with torch.device('meta'):
            model = ResNet(depth, **OUTPUT_STRIDES[output_stride], **options).train()
            kept = kept_bytes(model, torch.empty(batch, 3, *shape))
        costs[name] = (sum(parameter.numel() for parameter in model.parameters()), kept)
    return costs


def time_steps(
    depth: int, shape: Tuple[int, int], batch: int, output_stride: int, steps: int
) -> Dict[str, Time]:
    """Measure the time of forward and backward for every placement, in milliseconds.

    Args:
        depth: Depth of the ResNet.
        shape: Height and width of the images.
        batch: Number of images.
        output_stride: 32, or 8 for the dilated network of PSPNet.
        steps: Number of measurements of each placement.
    """
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    images = torch.rand(batch, 3, *shape, device=device)

    def step(options: dict) -> Callable[[], None]:
        model = ResNet(depth, **OUTPUT_STRIDES[output_stride], **options).to(device).train()
        return lambda: sum(features.sum() for features in model(images)).backward()

    return interleaved({name: step(options) for name, options in PLACEMENTS.items()}, steps, device)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description='Parameters and memory of FReLU placements')
    parser.add_argument('--depth', type=int, default=50, choices=sorted(ResNet.arch_settings))
    parser.add_argument('--shape', type=int, nargs=2, default=(512, 1024), metavar=('H', 'W'))
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--output-stride', type=int, default=32, choices=sorted(OUTPUT_STRIDES))
    parser.add_argument(
        '--steps',
        type=int,
        default=0,
        help='number of timed steps of each placement (default: 0, time is not measured)',
    )
    args = parser.parse_args(argv)
    case = (args.depth, tuple(args.shape), args.batch, args.output_stride)
    costs = measure(*case)
    times = time_steps(*case, args.steps) if args.steps else {}
    base_parameters, base_kept = costs['ReLU']
    table = Table(
        title=f'ResNet-{args.depth}, batch {args.batch} x 3 x {args.shape[0]} x {args.shape[1]}, fp32, output stride '
        f'{args.output_stride}, torch {torch.__version__}'
    )
    timed = ('step', 'of ReLU') if times else ()
    for heading in ('placement', 'parameters', 'added', 'kept for backward', 'of ReLU', *timed):
        table.add_column(
            heading, justify='left' if heading == 'placement' else 'right', no_wrap=True
        )
    for name, (parameters, kept) in costs.items():
        table.add_row(
            name,
            f'{parameters:,}',
            f'{parameters - base_parameters:,}',
            f'{kept / 2**20:,.0f} MiB',
            f'{kept / base_kept:.2f}',
            *_time_columns(times, name),
        )
    Console(width=120).print(table)


def _time_columns(times: Dict[str, Time], name: str) -> Tuple[str, ...]:
    if not times:
        return ()
    median = times[name].median
    return f'{median:,.0f} ms', f'{median / times["ReLU"].median:.2f}'


if __name__ == '__main__':
    main()
