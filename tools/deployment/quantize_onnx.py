"""Quantise an exported network to int8, and print the loss of accuracy on the test set.

    python tools/deployment/quantize_onnx.py CONFIG MODEL.onnx OUT.onnx [--calibration N] [--images PATH ...]
        [--method minmax|entropy|percentile] [--cfg-options K=V ...]

The network is calibrated on images of the training set, or on those of --images. Then both networks are tested on the test set.
"""

import argparse
from pathlib import Path
from typing import Dict, Optional, Sequence

from rich.console import Console
from rich.table import Table

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.deployment.evaluation import TestSet, headline
from mm_frelu.deployment.packages import require_package
from mm_frelu.deployment.quantization import METHODS, calibration_images, check_model, quantize
from mm_frelu.deployment.runtime import open_onnx
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.arguments import read_config, task_of
from mm_frelu.engine.errors import first_line
from mm_frelu.engine.settings import SettingsAction, merge_settings
from mm_frelu.engine.write_file import require_target, write_file


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Quantise an exported network to int8, and print the loss of accuracy.'
    )
    parser.add_argument('config', help='config of the network, with its training and test set')
    parser.add_argument('model', metavar='MODEL', help='ONNX file of export_onnx.py')
    parser.add_argument('out', metavar='OUT', help='file to write (.onnx)')
    parser.add_argument(
        '--calibration',
        type=int,
        default=64,
        metavar='N',
        help='number of images for calibration; default: 64',
    )
    parser.add_argument(
        '--images',
        nargs='+',
        default=(),
        metavar='PATH',
        help='images or folders for calibration, instead of the training set',
    )
    parser.add_argument(
        '--method',
        choices=tuple(METHODS),
        default='minmax',
        help='how onnxruntime chooses the range of a feature map; default: minmax. The other methods ignore outliers',
    )
    parser.add_argument('--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE')
    args = parser.parse_args(argv)
    if args.calibration < 1:
        parser.error(f'--calibration: expected 1 or more, found {args.calibration}')
    return args


def read_model(path: str) -> bytes:
    """Read the file of a model.

    Raises:
        UserError: When it does not exist or is not an ONNX file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f'MODEL {path}: there is no such file (looked for {file.absolute()}).')
    content = file.read_bytes()
    try:
        open_onnx(content)
    except UserError:
        raise
    except Exception as error:  # onnxruntime raises its own types
        raise UserError(
            f'MODEL {path} cannot be read as ONNX ({first_line(error)}). Create it with export_onnx.py.'
        ) from error
    return content


def print_metrics(task: str, before: Dict[str, float], after: Dict[str, float]) -> None:
    """Print the metrics of both networks, and the change of the main metric."""
    first = headline(task, before)
    table = Table(title='Test set')
    table.add_column('metric')
    for heading in ('float32', 'int8', 'difference'):
        table.add_column(heading, justify='right')
    for name in sorted(before, key=lambda name: name != first):
        difference = after[name] - before[name]
        table.add_row(name, f'{before[name]:.4g}', f'{after[name]:.4g}', f'{difference:+.4g}')
    Console(width=100).print(table)
    change = after[first] - before[first]
    verb = 'loses' if change < 0 else 'gains'
    print(
        f'int8 {verb} {abs(change):.4g} {first}: {after[first]:.4g} instead of {before[first]:.4g}.'
    )


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Quantise the network, test both networks, and save the new one."""
    args = parse_args(argv)
    require_package('onnx')
    if Path(args.out).suffix != '.onnx':
        raise UserError(f'OUT {args.out}: expected a file name that ends with .onnx.')
    require_target('OUT', args.out)
    content = read_model(args.model)
    cfg = read_config(args.config)
    merge_settings(cfg, args.cfg_options)
    check_model(content, task_of(cfg))
    test_set = TestSet(cfg)
    images = calibration_images(cfg, args.calibration, args.images)
    quantized = quantize(content, images, args.method)
    before = test_set.evaluate(open_onnx(content), args.model)
    if not before:
        raise UserError(
            f'{args.config}: test_evaluator computes no metric to compare the networks with.'
        )
    after = test_set.evaluate(open_onnx(quantized), args.out)
    print_metrics(test_set.task, before, after)
    with write_file(args.out, 'wb') as stream:
        stream.write(quantized)
    print(f'{args.model}: {len(content) / 1e6:.2f} MB')
    print(f'{args.out}: {len(quantized) / 1e6:.2f} MB, calibrated on {len(images)} images')


if __name__ == '__main__':
    main()
