"""Convert the official FReLU weights, a MegEngine file, to a checkpoint for OpenMMLab. MegEngine is not needed.

python tools/model_converters/megengine_to_mm.py res50_frelu.model weights/resnet50_frelu.pth
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

import mm_frelu  # noqa: F401  (registers the backbones)
from mm_frelu.checkpoints.architectures import ARCHITECTURES
from mm_frelu.checkpoints.megengine import convert_megengine
from mm_frelu.checkpoints.saving import check_target, describe, save_checkpoint
from mm_frelu.engine import exit_on_user_error


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Convert official FReLU weights (MegEngine) to a checkpoint for OpenMMLab.'
    )
    parser.add_argument('src', metavar='SRC', type=Path, help='file that megengine.save wrote')
    parser.add_argument('dst', metavar='DST', type=Path, help='checkpoint to write (.pth)')
    parser.add_argument(
        '--arch',
        choices=[arch.name for arch in ARCHITECTURES],
        help='architecture that SRC must have; default: detected from the names of its tensors',
    )
    return parser.parse_args(argv)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Convert, save, and print how to use the result."""
    args = parse_args(argv)
    check_target(args.dst, 'DST', args.src)
    checkpoint = convert_megengine(args.src, args.arch)
    save_checkpoint(checkpoint, args.dst, 'DST')
    print(describe(checkpoint, args.dst))


if __name__ == '__main__':
    main()
