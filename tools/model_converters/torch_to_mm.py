"""Convert FReLU weights of a PyTorch port (a ResNet with torchvision's names) to a checkpoint for OpenMMLab.

python tools/model_converters/torch_to_mm.py frelu_resnet50.pth weights/resnet50_frelu.pth
"""

import argparse
import math
from pathlib import Path
from typing import Iterable, Optional, Sequence

import mm_frelu  # noqa: F401  (registers the backbones)
from mm_frelu.checkpoints.saving import check_target, describe, save_checkpoint
from mm_frelu.checkpoints.torch_port import convert_torch, known_architectures
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.preprocessing import Preprocessing

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Convert FReLU weights of a PyTorch port to a checkpoint for OpenMMLab.'
    )
    parser.add_argument('src', metavar='SRC', type=Path, help='state dict that torch.save wrote')
    parser.add_argument('dst', metavar='DST', type=Path, help='checkpoint to write (.pth)')
    parser.add_argument(
        '--arch',
        choices=known_architectures(),
        help='architecture that SRC must have; default: detected from the names of its tensors',
    )
    parser.add_argument(
        '--style',
        choices=['pytorch', 'caffe'],
        default='pytorch',
        help='convolution of the bottlenecks of SRC that has the stride: the 3x3 for pytorch (default), the first 1x1 for caffe; '
        'it cannot be detected from the weights',
    )
    parser.add_argument(
        '--act-sites',
        nargs='+',
        choices=['act1', 'act2', 'act3'],
        metavar='SITE',
        help='sites of the activations in a block, in the order of their names, if a block does not have all of them; act2 is '
        'after the 3x3 of a bottleneck',
    )
    parser.add_argument(
        '--channel-order',
        choices=['rgb', 'bgr'],
        default='rgb',
        help='channel order that SRC was trained with (default: rgb)',
    )
    for key, default in (('mean', IMAGENET_MEAN), ('std', IMAGENET_STD)):
        parser.add_argument(
            f'--{key}',
            nargs=3,
            type=float,
            default=default,
            metavar=('C1', 'C2', 'C3'),
            help=f'{key} of the pixels that SRC was trained on, for values 0..255, in channel order '
            f'(default: ImageNet, {default[0]:g} {default[1]:g} {default[2]:g})',
        )
    return parser.parse_args(argv)


def read_preprocessing(args: argparse.Namespace) -> Preprocessing:
    """Return the preprocessing that the options describe.

    Raises:
        UserError: When ``--std`` or ``--mean`` is for values 0..1 or not finite, or ``--std`` is not positive.
    """
    for option, values in (('--mean', args.mean), ('--std', args.std)):
        if not all(map(math.isfinite, values)):
            raise UserError(
                f'{option} {_numbers(values)}: expected three finite numbers, for pixels 0..255.'
            )
    if min(args.std) < 1:
        raise UserError(
            f'--std {_numbers(args.std)}: expected the deviation of pixels 0..255, at least 1 (none: 1 1 1). For values '
            f'0..1 multiply --mean and --std by 255: --std {_numbers(value * 255 for value in args.std)}.'
        )
    if all(0 < value < 1 for value in args.mean):
        raise UserError(
            f'--mean {_numbers(args.mean)}: expected the mean of pixels 0..255 (none: 0 0 0). For values 0..1 multiply '
            f'--mean and --std by 255: --mean {_numbers(value * 255 for value in args.mean)}.'
        )
    return Preprocessing(tuple(args.mean), tuple(args.std), rgb=args.channel_order == 'rgb')


def _numbers(values: Iterable[float]) -> str:
    return ' '.join(f'{value:g}' for value in values)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Convert, save, and print how to use the result."""
    args = parse_args(argv)
    preprocessing = read_preprocessing(args)
    check_target(args.dst, 'DST', args.src)
    checkpoint = convert_torch(args.src, preprocessing, args.arch, args.style, args.act_sites)
    save_checkpoint(checkpoint, args.dst, 'DST')
    print(describe(checkpoint, args.dst))


if __name__ == '__main__':
    main()
