"""Fold the norms of FReLU into its windows, for faster testing and deployment with the same outputs.

    python tools/model_converters/reparameterize_model.py CONFIG CKPT OUT.pth [--shape H W]

The tool writes OUT.pth and the config OUT.py for it: tools/test.py OUT.py OUT.pth gives the metrics of CONFIG and CKPT. The outputs of
both models are compared before anything is saved.
"""

import argparse
from typing import Optional, Sequence

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.checkpoints.deploy import deploy
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.arguments import read_config


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Fold the norms of FReLU into its windows.')
    parser.add_argument('config', help='config that the checkpoint was trained with')
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint file (.pth)')
    parser.add_argument(
        'out',
        metavar='OUT',
        help='file to write (.pth); its config has the same name with the ending .py',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=(256, 512),
        metavar=('H', 'W'),
        help='height and width of the image to compare the outputs on',
    )
    return parser.parse_args(argv)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Fold, compare, save."""
    args = parse_args(argv)
    if min(args.shape) < 1:
        raise UserError(f'--shape {args.shape[0]} {args.shape[1]}: give two positive numbers.')
    done = deploy(read_config(args.config), args.checkpoint, args.out, tuple(args.shape))
    folded = ' and '.join(f'{count} {name}' for name, count in done.folded.items())
    print(f'Folded {folded}.')
    print(
        f'Largest difference of the network and of each activation: {done.difference:.1e} of the largest output.'
    )
    print(f'{done.checkpoint}\n{done.config}')


if __name__ == '__main__':
    main()
