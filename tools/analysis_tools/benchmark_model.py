"""Measure training step, inference and memory of a whole model, with ReLU and with several backends of its activations.

    python tools/analysis_tools/benchmark_model.py configs/pspnet/pspnet_r50b-frelu-d8_4xb2-40k_cityscapes-512x1024.py --batch 4
    python tools/analysis_tools/benchmark_model.py CONFIG --part backbone --shape 256 512 --device cpu --repeat 5 --json m.json
    python tools/analysis_tools/benchmark_model.py CONFIG --batch 2 --statistics

The model of the config has random weights. A training step is forward to the raw outputs of the heads, and backward of their mean. Loss,
optimizer and data loading are left out, because they are the same for all variants. For ReLU, every activation of this package is replaced.
Inference is measured on the deployed model, with the norms inside activations folded.

SyncBN becomes BN, like in MMEngine's training on one GPU. On a GPU, 'device ms' is the total time of the kernels in a step, from torch's
profiler. If the step takes longer, it is bound by the host, that is, by Python and the launches.

--statistics also times a step that ActivationStatisticsHook records, in turns with a step that it does not record.
"""

import argparse
import copy
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from benchmark_ops import positive, surroundings
from mmengine.model import revert_sync_batchnorm
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.activations import DynamicReLU, FunnelActivation
from mm_frelu.activations.live import ShowsImplementation
from mm_frelu.analysis.input_shape import input_shape
from mm_frelu.analysis.kept_for_backward import kept_bytes
from mm_frelu.analysis.measure import device_ms, interleaved, peak_bytes
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.arguments import read_config, task_of
from mm_frelu.engine.json_file import write_json
from mm_frelu.engine.model_builder import build_model, recorded_tensors
from mm_frelu.engine.settings import SettingsAction, merge_settings
from mm_frelu.engine.write_file import require_target
from mm_frelu.inspection import ActivationStatisticsHook
from mm_frelu.inspection.statistics import ActivationStatistics
from mm_frelu.ops import IMPLEMENTATIONS

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
LAYOUTS = {'nchw': torch.contiguous_format, 'channels_last': torch.channels_last}
Forward = Callable[[nn.Module, Tensor], Any]


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('config', help='config of a model with FReLU, LightFReLU or DY-ReLU')
    parser.add_argument('--part', choices=('model', 'backbone'), default='model')
    parser.add_argument(
        '--shape', type=int, nargs=2, metavar=('H', 'W'), help='input size; default: as in testing'
    )
    parser.add_argument('--batch', type=positive, default=1)
    parser.add_argument(
        '--dtype', choices=sorted(DTYPES), default='float32', help='set by autocast'
    )
    parser.add_argument(
        '--backends',
        nargs='+',
        choices=IMPLEMENTATIONS,
        default=('eager', 'auto'),
        help='backends of the activations; auto is the default of configs',
    )
    parser.add_argument('--layout', choices=sorted(LAYOUTS), default='nchw')
    parser.add_argument(
        '--repeat',
        type=positive,
        default=5,
        help='number of timed rounds, after two warm-up rounds',
    )
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='also write the numbers to this file'
    )
    parser.add_argument(
        '--statistics',
        nargs='?',
        type=positive,
        const=ActivationStatisticsHook().interval,
        metavar='INTERVAL',
        help='also measure the cost of ActivationStatisticsHook, recording every INTERVAL-th step (default: '
        f'{ActivationStatisticsHook().interval}, like the hook)',
    )
    parser.add_argument('--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE')
    return parser.parse_args(argv)


def variants(model: nn.Module, backends: Sequence[str]) -> Dict[str, nn.Module]:
    """Create the model with ReLU, and with each backend of its activations.

    Raises:
        UserError: If it has no activation of this package.
    """
    ours = (FunnelActivation, DynamicReLU)
    relu = copy.deepcopy(model)
    places = [
        (parent, name)
        for parent in relu.modules()
        for name, child in parent.named_children()
        if isinstance(child, ours)
    ]
    if not places:
        raise UserError('The model has no FReLU, LightFReLU or DY-ReLU. Give a config with one.')
    for parent, name in places:
        setattr(parent, name, nn.ReLU(inplace=True))
    return {
        'relu': relu,
        **{name: _computed_by(name, copy.deepcopy(model)) for name in backends},
    }


def _computed_by(implementation: str, model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, ShowsImplementation):
            module.implementation = implementation
        if implementation == 'eager' and hasattr(module, 'recompute_norms'):
            module.recompute_norms = False
    return model


def deployed(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode, with the norms inside activations folded."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, FunnelActivation):
            module.switch_to_deploy()
    return model


def flatten(outputs: Any) -> Iterator[Tensor]:
    """Yield all tensors in nested tuples and lists."""
    if isinstance(outputs, Tensor):
        yield outputs
    else:
        for part in outputs:
            yield from flatten(part)


class Called(nn.Module):
    """A model together with the function that calls it."""

    def __init__(self, model: nn.Module, call: Forward) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, images: Tensor) -> Any:
        """Call the model."""
        return self.call(self.model, images)


def measure(
    models: Dict[str, nn.Module], forward: Forward, images: Tensor, args: argparse.Namespace
) -> List[Dict[str, Any]]:
    """Measure time and memory of each variant."""
    device, dtype = images.device, DTYPES[args.dtype]
    low = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)

    def outputs(model: nn.Module) -> Any:
        with low:
            return forward(model, images)

    def step(model: nn.Module) -> None:
        train_step(model, outputs)

    def infer(model: nn.Module) -> None:
        with torch.inference_mode():
            outputs(model)

    folded = {name: deployed(model) for name, model in models.items()}
    inference = {name: partial(infer, model) for name, model in folded.items()}
    inference_times = interleaved(inference, args.repeat, device)
    steps = {name: partial(step, model.train()) for name, model in models.items()}
    step_times = interleaved(steps, args.repeat, device)
    rows = []
    for name, model in models.items():
        with low:
            kept = kept_bytes(Called(model, forward), images)
        rows.append(
            dict(
                variant=name,
                step_ms=step_times[name]._asdict(),
                step_device_ms=device_ms(steps[name], device, calls=3),
                inference_ms=inference_times[name]._asdict(),
                inference_device_ms=device_ms(inference[name], device, calls=3),
                kept_bytes=kept,
                step_peak_bytes=peak_bytes(steps[name], device),
                inference_peak_bytes=peak_bytes(inference[name], device),
                images_per_second=1000 * len(images) / step_times[name].median,
                live=sorted({str(m.live) for m in model.modules() if getattr(m, 'live', None)}),
            )
        )
    return rows


def train_step(model: nn.Module, outputs: Callable[[nn.Module], Any]) -> None:
    """Run forward, and backward of the mean of all outputs."""
    model.zero_grad(set_to_none=True)
    sum(out.float().mean() for out in flatten(outputs(model))).backward()


def cost_of_statistics(
    model: nn.Module, forward: Forward, images: Tensor, args: argparse.Namespace
) -> Dict[str, Any]:
    """Measure a step with and without the hook's recording, and the hook's share of the training time."""
    statistics = ActivationStatistics(model.train())
    low = torch.autocast(
        images.device.type, dtype=DTYPES[args.dtype], enabled=args.dtype != 'float32'
    )

    def outputs(model: nn.Module) -> Any:
        with low:
            return forward(model, images)

    def watched() -> None:
        statistics.start()
        train_step(model, outputs)
        statistics.stop()

    runs = {'plain': partial(train_step, model, outputs), 'watched': watched}
    times = interleaved(runs, args.repeat, images.device)
    ratio = times['watched'].median / times['plain'].median
    return dict(
        plain_ms=times['plain']._asdict(),
        watched_ms=times['watched']._asdict(),
        ratio=ratio,
        interval=args.statistics,
        share_of_training=max(ratio - 1, 0) / args.statistics,
    )


def print_table(title: str, rows: List[Dict[str, Any]]) -> None:
    """Print one row for each variant."""
    table = Table(title=title)
    headings = ('variant', 'step ms', 'of ReLU', 'device ms', 'of ReLU', 'bound by', 'kept MiB')
    headings += ('of ReLU', 'peak MiB', 'of ReLU', 'inference ms', 'of ReLU')
    for heading in headings:
        table.add_column(heading, justify='left' if heading == 'variant' else 'right', no_wrap=True)
    base = rows[0]
    for row in rows:
        step, inference = row['step_ms']['median'], row['inference_ms']['median']
        table.add_row(
            row['variant'],
            f'{step:.1f}',
            f'{step / base["step_ms"]["median"]:.2f}',
            *_with_ratio(row['step_device_ms'], base['step_device_ms'], 1, '.1f'),
            bound_by(row),
            f'{row["kept_bytes"] / 2**20:,.0f}',
            f'{row["kept_bytes"] / base["kept_bytes"]:.2f}',
            *_with_ratio(row['step_peak_bytes'], base['step_peak_bytes'], 2**20, ',.0f'),
            f'{inference:.1f}',
            f'{inference / base["inference_ms"]["median"]:.2f}',
        )
    Console(width=140).print(table)


def _with_ratio(
    value: Optional[float], base: Optional[float], unit: int, form: str
) -> Tuple[str, str]:
    if value is None:
        return '-', '-'
    return format(value / unit, form), f'{value / base:.2f}'


def bound_by(row: Dict[str, Any]) -> str:
    """Return whether host or device bounds a training step: the device, if its kernels take nine tenths of the step."""
    if row['step_device_ms'] is None:
        return '-'
    return 'device' if row['step_device_ms'] > 0.9 * row['step_ms']['median'] else 'host'


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Build, measure, print, write."""
    args = parse_args(argv)
    if args.json:
        require_target('--json', args.json)
    cfg = read_config(args.config)
    merge_settings(cfg, args.cfg_options)
    shape = input_shape(cfg, args.shape and tuple(args.shape))
    torch.manual_seed(0)
    model, task = revert_sync_batchnorm(build_model(cfg)), task_of(cfg)
    forward: Forward = partial(_model_outputs, task)
    if args.part == 'backbone':
        model, forward = model.backbone, _backbone_outputs
    layout = LAYOUTS[args.layout]
    model = model.to(args.device, memory_format=layout)
    images = torch.randn(args.batch, 3, shape.height, shape.width, device=args.device)
    images = images.to(memory_format=layout)
    rows = measure(variants(model, args.backends), forward, images, args)
    statistics = cost_of_statistics(model, forward, images, args) if args.statistics else None
    header = surroundings(args.device)
    for key, value in header.items():
        print(f'{key}: {value}')
    title = f'{Path(args.config).stem}, {args.part}, {args.batch}x3x{shape.height}x{shape.width}, {args.dtype}'
    print_table(title, rows)
    if statistics:
        print(
            f'ActivationStatisticsHook: a recorded step takes {statistics["watched_ms"]["median"]:.1f} ms, '
            f'{statistics["ratio"]:.2f} times as long as a plain step; recording one step in {args.statistics} takes '
            f'{100 * statistics["share_of_training"]:.2f} % of the training time.'
        )
    if args.json:
        options = {key: value for key, value in vars(args).items() if key != 'json'}
        write_json(
            args.json, dict(surroundings=header, options=options, rows=rows, statistics=statistics)
        )


def _model_outputs(task: str, model: nn.Module, images: Tensor) -> Any:
    return recorded_tensors(model, images, task)


def _backbone_outputs(model: nn.Module, images: Tensor) -> Any:
    return model(images)


if __name__ == '__main__':
    main()
