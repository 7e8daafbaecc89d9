"""Compare the time of mm_frelu's replacements for missing mmcv ops with other implementations.

The ops are NMS, at the box counts of a detector, and sigmoid focal loss with its gradient, at RetinaNet's anchor counts (about 100,000
for a 512 x 1024 image)::

    python tools/analysis_tools/benchmark_ops.py
    python tools/analysis_tools/benchmark_ops.py --boxes 100 1000 --anchors 10000 --classes 80 --json ops.json

The replacement ('stand-in') is measured in plain torch, even if torchvision would be used instead. Implementations that are missing on this
machine (torchvision, compiled mmcv) are listed below the table.
"""

import argparse
import os
import platform
import statistics
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import mmcv
import torch
from mmcv.utils.ext_loader import check_ops_exist
from rich.console import Console
from rich.table import Table

with warnings.catch_warnings():
    warnings.simplefilter('ignore', UserWarning)  # the table shows which ops are missing
    from mm_frelu.compat import install_missing_ops
    from mm_frelu.compat.focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
    from mm_frelu.compat.nms import nms_in_blocks
    from mm_frelu.compat.torchvision_ops import torchvision_ops
    from mm_frelu.engine.json_file import write_json

    install_missing_ops()

STAND_IN, TORCHVISION = 'stand-in', 'torchvision'
PYTHON_FORM, COMPILED = 'mmdet Python', 'compiled mmcv'
IOU_THRESHOLD, GAMMA, ALPHA = 0.5, 2.0, 0.25


def parse_args(arguments: Optional[List[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--boxes', type=positive, nargs='+', default=[100, 1000, 5000])
    parser.add_argument('--anchors', type=positive, default=100_000, help='rows of the focal loss')
    parser.add_argument('--classes', type=positive, default=80, help='columns of the focal loss')
    parser.add_argument(
        '--repeat', type=positive, default=7, help='number of timed runs, after one warm-up run'
    )
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--json', type=Path, metavar='OUT', help='also write the numbers to this file'
    )
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """Parse a positive integer, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text}: expected an integer above 0')
    return number


def nms_ways(num_boxes: int, device: str) -> Dict[str, Optional[Callable[[], object]]]:
    """Return each implementation of NMS, or None if it is missing.

    Args:
        num_boxes: Number of boxes of up to 100 pixels. The area grows with their number, so that the number of overlaps per box
            is about constant.
        device: Device to compute on.

    Returns:
        Functions without arguments by name.
    """
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(num_boxes, 2, generator=generator) * 7 * num_boxes**0.5
    extent = torch.rand(num_boxes, 2, generator=generator) * 100
    boxes = torch.cat((corner, corner + extent), dim=1).to(device)
    scores = torch.rand(num_boxes, generator=generator).to(device)
    library, compiled = torchvision_ops(boxes.device.type), compiled_ops(device)

    def stand_in() -> torch.Tensor:
        order = scores.sort(descending=True).indices
        return order[nms_in_blocks(boxes[order], IOU_THRESHOLD, 0)]

    return {
        STAND_IN: stand_in,
        TORCHVISION: library and (lambda: library.nms(boxes, scores, IOU_THRESHOLD)),
        COMPILED: compiled and (lambda: compiled.nms(boxes, scores, IOU_THRESHOLD, 0)),
    }


def focal_ways(
    anchors: int, classes: int, device: str
) -> Dict[str, Optional[Callable[[], object]]]:
    """Return each implementation of the focal loss with its gradient, or None if it is missing.

    Args:
        anchors: Number of rows. One in a thousand has a class, similar to RetinaNet's anchors.
        classes: Number of columns.
        device: Device to compute on.

    Returns:
        Functions without arguments by name.
    """
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(anchors, classes, generator=generator).to(device)
    target = torch.full((anchors,), classes)
    target[::1000] = torch.randint(0, classes, target[::1000].shape, generator=generator)
    target, none = target.to(device), logits.new_empty(0)
    loss, grad = torch.empty_like(logits), torch.empty_like(logits)
    # mmcv has this op for accelerators only.
    compiled = None if logits.device.type == 'cpu' else compiled_ops(device)

    def mmdet_form() -> torch.Tensor:
        # Same as mmdet's FocalLoss on the CPU, including the one-hot target.
        prediction = logits.clone().requires_grad_()
        one_hot = torch.nn.functional.one_hot(target, classes + 1)[:, :classes]
        value = py_sigmoid_focal_loss(
            prediction, one_hot, gamma=GAMMA, alpha=ALPHA, reduction='sum'
        )
        return torch.autograd.grad(value, prediction)[0]

    def by_functions(forward: Callable, backward: Callable) -> Callable[[], torch.Tensor]:
        def both() -> torch.Tensor:
            forward(logits, target, none, loss, gamma=GAMMA, alpha=ALPHA)
            backward(logits, target, none, grad, gamma=GAMMA, alpha=ALPHA)
            return loss.sum()

        return both

    return {
        STAND_IN: by_functions(sigmoid_focal_loss_forward, sigmoid_focal_loss_backward),
        PYTHON_FORM: mmdet_form,
        COMPILED: compiled
        and by_functions(compiled.sigmoid_focal_loss_forward, compiled.sigmoid_focal_loss_backward),
    }


def compiled_ops(device: str) -> Optional[object]:
    """Return ``mmcv._ext`` if it is compiled for this kind of device."""
    if not check_ops_exist():
        return None
    ops = import_module('mmcv._ext')
    on_cpu = torch.device(device).type == 'cpu'
    return ops if on_cpu or ops.get_compiling_cuda_version() != 'not available' else None


def measure(function: Callable[[], object], repeat: int, device: str) -> Tuple[float, float, float]:
    """Time a function.

    Args:
        function: The function to time.
        repeat: Number of timed runs, after one warm-up run.
        device: Device to synchronise, because CUDA runs asynchronously.

    Returns:
        Median, fastest and slowest run in milliseconds.
    """
    times = []
    for run in range(repeat + 1):
        start = time.perf_counter()
        function()
        if torch.device(device).type == 'cuda':
            torch.cuda.synchronize(device)
        if run:
            times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times), min(times), max(times)


def surroundings(device: str) -> Dict[str, str]:
    """Return hardware and versions, to print next to the numbers."""
    if torch.device(device).type == 'cuda':
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f'{cpu_name()}, {torch.get_num_threads()} of {os.cpu_count()} cores used'
    library = torchvision_ops(torch.device(device).type)
    return {
        'device': f'{device} ({hardware})',
        'python': platform.python_version(),
        'torch': torch.__version__,
        'torchvision': import_module('torchvision').__version__ if library else 'absent',
        'mmcv': f'{mmcv.__version__}, ops {"compiled" if check_ops_exist() else "not compiled"}',
        'date': time.strftime('%Y-%m-%d'),
    }


def cpu_name() -> str:
    """Return the model of the processor, from Linux or from Python."""
    path = Path('/proc/cpuinfo')
    lines = path.read_text(encoding='utf-8').splitlines() if path.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def main(arguments: Optional[List[str]] = None) -> None:
    """Measure, print the table, and write the file if requested."""
    args = parse_args(arguments)
    if args.json and not args.json.absolute().parent.is_dir():
        raise SystemExit(
            f'--json {args.json}: the folder {args.json.absolute().parent} does not exist. Create it first.'
        )
    cases = [
        (f'NMS, {num:,} boxes', lambda num=num: nms_ways(num, args.device)) for num in args.boxes
    ]
    focal = f'focal loss, {args.anchors:,} x {args.classes}'
    cases.append((focal, lambda: focal_ways(args.anchors, args.classes, args.device)))

    console, table = Console(), Table('op', 'way', 'median ms', 'fastest to slowest ms')
    for column in table.columns[2:]:
        column.justify = 'right'
    header = surroundings(args.device)
    rows, absent = [], []
    for name, make_ways in cases:
        for way, function in make_ways().items():
            if function is None:
                absent.append(f'{way} for {name.partition(",")[0]}')
                continue
            median, fastest, slowest = measure(function, args.repeat, args.device)
            rows.append(
                dict(op=name, way=way, median_ms=median, fastest_ms=fastest, slowest_ms=slowest)
            )
            table.add_row(name, way, f'{median:.2f}', f'{fastest:.2f} to {slowest:.2f}')
        table.add_section()
    for key, value in header.items():
        console.print(f'{key}: {value}', highlight=False, soft_wrap=True)
    console.print(table)
    absent = list(dict.fromkeys(absent))
    if absent:
        console.print(f'Absent here: {"; ".join(absent)}.', highlight=False, soft_wrap=True)
    if args.json:
        write_json(
            args.json, dict(surroundings=header, repeat=args.repeat, rows=rows, absent=absent)
        )


if __name__ == '__main__':
    main()
