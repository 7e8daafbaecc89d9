"""Make the pictures of the docs, from the checkpoints of ``make demo`` and the photographs that scikit-image brings.

    python tools/gallery.py [--demo work_dirs/demo] [--data data/street_scenes] [--out docs/images] [--only NAME ...] [--list]

Each picture is made by the project's own command, which is printed first. ``PICTURES`` below lists them: a picture is a function
that gets a :class:`Gallery` and writes ``gallery.out / NAME``.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from PIL import Image

from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.write_file import put_file, write_file

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs'
PHOTOGRAPHS = ('astronaut', 'coffee', 'chelsea', 'motorcycle')
LARGEST = 400_000
"""Bytes of a picture in docs/images at most: the repository is cloned with all of them."""

_DEMO_CONFIGS = {
    'pspnet_r18_relu': 'pspnet/pspnet_r18b-relu-d4_1xb8-demo_street-scenes-128x256.py',
    'pspnet_r18_frelu': 'pspnet/pspnet_r18b-frelu-d4_1xb8-demo_street-scenes-128x256.py',
    'retinanet_r18_frelu': 'retinanet/retinanet_r18-frelu_fpn_1xb8-demo_street-scenes.py',
}


class Gallery:
    """Where the pictures come from and go to.

    Args:
        demo: Folder that ``make demo`` wrote.
        data: Its scenes.
        out: Folder for the pictures.
        scratch: Folder for what is only needed on the way; removed afterwards.
    """

    def __init__(self, demo: Path, data: Path, out: Path, scratch: Path) -> None:
        self.demo, self.data, self.out, self.scratch = demo, data, out, scratch

    def config(self, model: str) -> str:
        """Config of a model of the demo, by its folder there, such as ``pspnet_r18_frelu``."""
        return os.path.relpath(CONFIGS / _DEMO_CONFIGS[model])

    def checkpoint(self, model: str) -> str:
        """Its last checkpoint.

        Raises:
            UserError: The demo has not been run there.
        """
        pointer = self.demo / model / 'train' / 'last_checkpoint'
        if not pointer.is_file():
            raise UserError(
                f'--demo {self.demo}: there is no {pointer}. Run `make demo` first, or name the folder that it wrote.'
            )
        # The pointer holds the path of the day; the folder may have been moved since.
        return str(pointer.parent / Path(pointer.read_text().strip()).name)

    def scenes(self, number: int = 1) -> List[str]:
        """The first images of the demo's test set."""
        found = sorted((self.data / 'leftImg8bit' / 'val').rglob('*.png'))[:number]
        if len(found) < number:
            raise UserError(
                f'--data {self.data}: {len(found)} of {number} test images. Run `make demo` first.'
            )
        return [str(path) for path in found]

    def scene(self, name: str) -> str:
        """One image of the demo's test set, by a part of its name."""
        found = sorted((self.data / 'leftImg8bit' / 'val').rglob(f'*{name}*.png'))
        if not found:
            raise UserError(f'--data {self.data}: no test image is called *{name}*.png.')
        return str(found[0])

    def photograph(self, name: str) -> str:
        """A photograph of scikit-image as a JPEG file, one of :data:`PHOTOGRAPHS`.

        Raises:
            UserError: scikit-image is not installed.
        """
        try:
            from skimage import data
        except ImportError:
            raise UserError(
                'The photographs of the gallery come from scikit-image. Install it: pip install scikit-image.'
            ) from None
        picture = data.stereo_motorcycle()[0] if name == 'motorcycle' else getattr(data, name)()
        path = self.scratch / 'photographs' / f'{name}.jpg'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path, quality=95)
        return str(path)

    def run(self, tool: str, *arguments: str) -> None:
        """Run one of the project's tools, and show its command.

        Raises:
            UserError: It failed; the message has the end of its output.
        """
        command = [os.path.relpath(TOOLS / tool), *map(str, arguments)]
        print(f'\n$ python {shlex.join(command)}', flush=True)
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, 'STREET_SCENES_ROOT': str(self.data)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = '\n'.join(done.stdout.splitlines()[-15:])
            raise UserError(f'{tool} ended with exit code {done.returncode}:\n{tail}')

    def keep(self, picture: Path, name: str, colors: Optional[int] = None) -> Path:
        """Move a picture to the gallery.

        Args:
            picture: What a tool wrote.
            name: Its name in the gallery.
            colors: Reduce a PNG to a palette of so many colours, which makes it a third as large.

        Returns:
            Where it is now.

        Raises:
            UserError: It is larger than :data:`LARGEST`.
        """
        target = self.out / name
        if colors:
            with Image.open(picture) as image, write_file(target, 'wb') as stream:
                image.convert('RGB').quantize(colors, dither=Image.Dither.NONE).save(
                    stream, 'PNG', optimize=True
                )
        else:
            put_file(picture, target)
        size = target.stat().st_size
        if size > LARGEST:
            raise UserError(f'{target} has {size} bytes; a picture of the docs has {LARGEST}.')
        print(f'  {target}, {size / 1000:.0f} KB')
        return target


Picture = Callable[[Gallery], None]
PICTURES: Dict[str, Picture] = {}
"""By file name. What makes a picture is a function with ``@picture('NAME')``."""


def picture(name: str) -> Callable[[Picture], Picture]:
    """Enter a function in :data:`PICTURES`."""

    def enter(function: Picture) -> Picture:
        PICTURES[name] = function
        return function

    return enter


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Make the pictures of the docs.')
    parser.add_argument(
        '--demo', type=Path, default=Path('work_dirs/demo'), help='what `make demo` wrote'
    )
    parser.add_argument(
        '--data', type=Path, default=Path('data/street_scenes'), help='the scenes of the demo'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('docs/images'), help='folder for the pictures'
    )
    parser.add_argument('--only', nargs='+', metavar='NAME', help='make only these pictures')
    parser.add_argument('--list', action='store_true', help='list the pictures and make none')
    args = parser.parse_args(argv)
    strangers = [name for name in args.only or () if name not in PICTURES]
    if strangers:
        parser.error(
            f'--only: no picture is called {strangers[0]!r}; there are {", ".join(PICTURES)}'
        )
    return args


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Make the pictures one after the other."""
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
