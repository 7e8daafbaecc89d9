"""Prepare a checkpoint for publishing: keep only weights and meta, record the preprocessing, and add a hash to the name.

    python tools/model_converters/publish_model.py IN OUT [--no-ema]

If OUT is a folder, the file is named {config}_{date}-{hash8}.pth; if it is NAME.pth, the file is named NAME_{date}-{hash8}.pth. The last
printed line is the path of the file.
"""

import argparse
from typing import Optional, Sequence

import mm_frelu  # noqa: F401
from mm_frelu.checkpoints.publish import publish
from mm_frelu.engine import exit_on_user_error


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Prepare a checkpoint for publishing.')
    parser.add_argument('checkpoint', metavar='IN', help='checkpoint of a training')
    parser.add_argument(
        'out',
        metavar='OUT',
        help='folder, or NAME.pth; the training date and the hash of the file are added to the name',
    )
    parser.add_argument(
        '--no-ema',
        action='store_true',
        help='publish the last weights of a model trained with EMAHook, instead of their average',
    )
    return parser.parse_args(argv)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Publish, and print what was done."""
    args = parse_args(argv)
    path, notes = publish(args.checkpoint, args.out, averaged=not args.no_ema)
    print(*notes, path, sep='\n')


if __name__ == '__main__':
    main()
