"""Export a segmentor, a detector or a backbone to a file that runs without OpenMMLab.

    python tools/deployment/export_onnx.py CONFIG CKPT OUT.onnx [--shape H W] [--dynamic] [--verify] [--images PATH ...] [--fp16] [--opset N]
        [--output labels|logits] [--part model|heads|backbone] [--format onnx|torchscript|exported] [--cfg-options K=V ...]
        [--act NAME [--act-cfg K=V ...] [--act-include PATTERN ...] [--act-exclude PATTERN ...]]

The exported network takes RGB pixels from 0 to 255 and returns labels, boxes or feature maps. tools/deployment/run_onnx.py runs the file.
"""

import argparse
from pathlib import Path
from typing import List, Optional, Sequence

from rich.console import Console
from rich.table import Table

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.analysis.input_shape import input_shape
from mm_frelu.deployment.comparison import Comparison
from mm_frelu.deployment.export import SUFFIXES, Options, export
from mm_frelu.deployment.onnx_file import DEFAULT_OPSET, check_opset
from mm_frelu.deployment.packages import require_package
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.act_options import add_act_arguments, apply_act_options
from mm_frelu.engine.arguments import read_config
from mm_frelu.engine.launch import require_keys
from mm_frelu.engine.settings import SettingsAction, merge_settings
from mm_frelu.engine.write_file import require_target, write_file


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Export a segmentor, a detector or a backbone to a file that runs without OpenMMLab.'
    )
    parser.add_argument('config', help='config that the checkpoint was trained with')
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint file (.pth)')
    parser.add_argument('out', metavar='OUT', help='file to write: .onnx, .pt or .pt2')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='height and width of the image; default: as in the test pipeline',
    )
    parser.add_argument(
        '--dynamic',
        action='store_true',
        help='support images of any size, and batches (detection: one image at a time)',
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help='run the file and compare it with PyTorch on five images (with --dynamic: of five sizes); write it only if both '
        'agree',
    )
    parser.add_argument(
        '--images',
        nargs='+',
        default=(),
        metavar='PATH',
        help='images for --verify; default: generated street scenes',
    )
    parser.add_argument(
        '--fp16',
        action='store_true',
        help='compute in half precision; input and outputs keep their types',
    )
    parser.add_argument(
        '--opset',
        type=int,
        default=DEFAULT_OPSET,
        metavar='N',
        help=f"version of ONNX's operators; default: {DEFAULT_OPSET}",
    )
    parser.add_argument(
        '--output',
        choices=('labels', 'logits'),
        default='labels',
        help='output of a segmentor: a label map (default) or the logits of all classes',
    )
    parser.add_argument(
        '--part',
        choices=('model', 'heads', 'backbone'),
        default='model',
        help='part to export: the whole model (default), the model without post-processing, or the backbone',
    )
    parser.add_argument(
        '--format', choices=tuple(SUFFIXES), default='onnx', help='file format; default: onnx'
    )
    parser.add_argument('--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE')
    add_act_arguments(parser)
    return parser.parse_args(argv)


def check(args: argparse.Namespace) -> None:
    """Check the options before anything is computed.

    Raises:
        UserError: With the option.
    """
    suffix = SUFFIXES[args.format]
    if Path(args.out).suffix != suffix:
        raise UserError(
            f'OUT {args.out}: --format {args.format} writes files that end with {suffix}.'
        )
    require_target('OUT', args.out)
    if args.images and not args.verify:
        raise UserError('--images needs --verify, which is missing. Add --verify.')
    if args.format == 'onnx':
        check_opset(args.opset)
        require_package('onnx')
        if args.verify:
            require_package('onnxruntime')


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Print one row for each image."""
    table = Table(title='Exported file and PyTorch')
    table.add_column('size', no_wrap=True)
    table.add_column('difference')
    table.add_column('')
    for row in comparisons:
        verdict = 'agrees' if row.agrees else '[red]differs'
        table.add_row(f'{row.size[0]}x{row.size[1]}', row.found, verdict)
    Console(width=140).print(table)


def require_agreement(comparisons: List[Comparison], out: str) -> None:
    """Raise :class:`UserError` if the exported file does not compute the same as the model."""
    wrong = [row for row in comparisons if not row.agrees]
    if wrong:
        height, width = wrong[0].size
        raise UserError(
            f'The exported file does not compute the same as the model on {len(wrong)} of {len(comparisons)} images, the first of '
            f'{height}x{width} pixels: {wrong[0].found}. {out} is not written.'
        )
    if comparisons and all(row.empty for row in comparisons):
        raise UserError(
            f'The model found no box in any image, so nothing was compared, and {out} is not written. Give images with '
            'objects: --images PATH ...'
        )


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Export, compare, save."""
    args = parse_args(argv)
    check(args)
    cfg = read_config(args.config)
    merge_settings(cfg, args.cfg_options)
    require_keys(cfg, ('model',), 'exporting')
    shape = input_shape(cfg, args.shape and tuple(args.shape))
    apply_act_options(cfg, args)
    options = Options(
        shape=(shape.height, shape.width),
        format=args.format,
        part=args.part,
        output=args.output,
        dynamic=args.dynamic,
        fp16=args.fp16,
        opset=args.opset,
        verify=args.verify,
        images=args.images,
    )
    exported = export(cfg, args.checkpoint, options)
    if args.verify:
        print_comparisons(exported.comparisons)
        require_agreement(exported.comparisons, args.out)
    with write_file(args.out, 'wb') as stream:
        stream.write(exported.content)
    print(f'{args.out}: {len(exported.content) / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
