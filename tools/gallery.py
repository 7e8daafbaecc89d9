"""Create the pictures of the docs, from the checkpoints of ``make demo`` and photographs of scikit-image.

    python tools/gallery.py [--demo work_dirs/demo] [--data data/street_scenes] [--out docs/images] [--only NAME ...] [--list]

Each picture is created by one of the project's own commands, which is printed first.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Optional, Sequence

import gallery_detection  # noqa: F401  (each module registers its pictures)
import gallery_inside  # noqa: F401
import gallery_keypoints  # noqa: F401
import gallery_segmentation  # noqa: F401
from gallery_frame import PICTURES, Gallery

from mm_frelu.engine.errors import exit_on_user_error


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Create the pictures of the docs.')
    parser.add_argument(
        '--demo', type=Path, default=Path('work_dirs/demo'), help='output folder of `make demo`'
    )
    parser.add_argument(
        '--data', type=Path, default=Path('data/street_scenes'), help='the scenes of the demo'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('docs/images'), help='folder for the pictures'
    )
    parser.add_argument('--only', nargs='+', metavar='NAME', help='create only these pictures')
    parser.add_argument('--list', action='store_true', help='list the pictures and exit')
    args = parser.parse_args(argv)
    unknown = [name for name in args.only or () if name not in PICTURES]
    if unknown:
        parser.error(
            f'--only: no picture is called {unknown[0]!r}; there are {", ".join(PICTURES)}'
        )
    return args


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Create the pictures."""
    args = parse_args(argv)
    if args.list:
        print('\n'.join(PICTURES))
        return
    with tempfile.TemporaryDirectory() as scratch:
        gallery = Gallery(args.demo, args.data, args.out, Path(scratch))
        names = args.only or list(PICTURES)
        for number, name in enumerate(names, 1):
            print(f'\n[{number}/{len(names)}] {name}', flush=True)
            PICTURES[name](gallery)
    print(f'\n{len(names)} pictures in {args.out.absolute()}')


if __name__ == '__main__':
    main()
