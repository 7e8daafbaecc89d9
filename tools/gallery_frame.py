"""Base of the gallery: inputs and outputs of the docs' pictures, how to run a tool, and the list of pictures.

``gallery.py`` creates the pictures. ``gallery_*.py`` have one function for each picture::

    @picture('comparison.png')
    def comparison(gallery: Gallery) -> None:
        gallery.run('visualize_segmentation.py', '--images', *gallery.scenes(1), ..., '--out', gallery.scratch)
        gallery.keep(gallery.scratch / 'x.png', 'comparison.png')
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, Optional

import numpy as np
from PIL import Image

from mm_frelu.engine.errors import UserError
from mm_frelu.engine.write_file import put_file, write_file

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs'
PHOTOGRAPHS = ('astronaut', 'coffee', 'chelsea', 'motorcycle')
LARGEST = 400_000
"""Maximum size in bytes of a picture in docs/images, because all of them are part of every clone."""
_FLAT = 64
"""Pixels of one colour that make a flat area."""

_DEMO_CONFIGS = {
    'pspnet_r18_relu': 'pspnet/pspnet_r18b-relu-d4_1xb8-demo_street-scenes-128x256.py',
    'pspnet_r18_frelu': 'pspnet/pspnet_r18b-frelu-d4_1xb8-demo_street-scenes-128x256.py',
    'retinanet_r18_relu': 'retinanet/retinanet_r18-relu_fpn_1xb8-demo_street-scenes.py',
    'retinanet_r18_frelu': 'retinanet/retinanet_r18-frelu_fpn_1xb8-demo_street-scenes.py',
}


class Gallery:
    """Inputs and outputs of the pictures.

    Args:
        demo: Output folder of ``make demo``.
        data: Folder of the demo's scenes.
        out: Folder for the pictures.
        scratch: Folder for temporary files.
    """

    def __init__(self, demo: Path, data: Path, out: Path, scratch: Path) -> None:
        self.demo, self.data, self.out, self.scratch = demo, data, out, scratch
        self.people = data.parent / 'posed_people'  # of the keypoint models

    def config(self, model: str) -> str:
        """Return the config of a demo model, by its folder name, such as ``pspnet_r18_frelu``."""
        return os.path.relpath(CONFIGS / _DEMO_CONFIGS[model])

    def checkpoint(self, model: str) -> str:
        """Return the last checkpoint of a demo model.

        Raises:
            UserError: If there is none, because the demo has not been run.
        """
        pointer = self.demo / model / 'train' / 'last_checkpoint'
        if not pointer.is_file():
            raise UserError(
                f'--demo {self.demo}: there is no {pointer}. Run `make demo` first, or give its output folder.'
            )
        # The folder may have been moved since the pointer was written.
        return str(pointer.parent / Path(pointer.read_text().strip()).name)

    def scenes(self, number: int = 1) -> List[str]:
        """Return the first images of the demo's test set."""
        found = sorted((self.data / 'leftImg8bit' / 'val').rglob('*.png'))[:number]
        if len(found) < number:
            raise UserError(
                f'--data {self.data}: found {len(found)} of {number} test images. Run `make demo` first.'
            )
        return [str(path) for path in found]

    def scene(self, name: str) -> str:
        """Return one image of the demo's test set, by a part of its name."""
        found = sorted((self.data / 'leftImg8bit' / 'val').rglob(f'*{name}*.png'))
        if not found:
            raise UserError(
                f'--data {self.data}: no test image is called *{name}*.png. Run `make demo` first, or give its data folder.'
            )
        return str(found[0])

    def photograph(self, name: str) -> str:
        """Save a photograph of scikit-image, one of :data:`PHOTOGRAPHS`, as a JPEG file.

        Raises:
            UserError: If scikit-image is not installed.
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
        """Run one of the project's tools, and print its command.

        Raises:
            UserError: If it failed; with the end of its output.
        """
        command = [os.path.relpath(TOOLS / tool), *map(str, arguments)]
        print(f'\n$ python {shlex.join(command)}', flush=True)
        done = subprocess.run(
            [sys.executable, *command],
            env={
                **os.environ,
                'STREET_SCENES_ROOT': str(self.data),
                'POSED_PEOPLE_ROOT': str(self.people),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = '\n'.join(done.stdout.splitlines()[-15:])
            raise UserError(f'{tool} ended with exit code {done.returncode}:\n{tail}')

    def screenshot(
        self,
        page: Path,
        target: Path,
        fragment: str = '',
        dark: bool = False,
        size: str = '1400,860',
    ) -> None:
        """Take a screenshot of a page of :mod:`mm_frelu.visualization.page` in headless Chromium, after its first image is drawn.

        Args:
            page: The page.
            target: The PNG file to write.
            fragment: Fragment of the page's URL, including the ``#``.
            dark: Use the page's dark colour scheme.
            size: Width and height of the window in pixels.

        Raises:
            UserError: If Chromium or selenium is not installed.
        """
        try:
            from selenium import webdriver
            from selenium.webdriver.support.ui import WebDriverWait
        except ImportError:
            raise UserError(
                'Screenshots of pages need selenium. Install it: pip install selenium.'
            ) from None
        names = ('chromium', 'chromium-browser', 'google-chrome')
        program = next((path for path in map(shutil.which, names) if path), None)
        driver = shutil.which('chromedriver')
        if not program or not driver:
            raise UserError(
                'Screenshots of pages need Chromium. Install it: apt-get install chromium chromium-driver.'
            )
        options = webdriver.ChromeOptions()
        options.binary_location = program
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            scheme = ['--blink-settings=preferredColorScheme=0'] if dark else []
            for option in (
                *_CHROMIUM,
                f'--user-data-dir={profile}',
                f'--window-size={size}',
                *scheme,
            ):
                options.add_argument(option)
            browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
            try:
                browser.get(page.absolute().as_uri() + fragment)
                drawn = 'return Boolean(window.page?.content && window.page.viewer.panels.length)'
                WebDriverWait(browser, 120).until(lambda own: own.execute_script(drawn))
                browser.execute_script('page.viewer.drawNow()')
                browser.save_screenshot(str(target))
            finally:
                browser.quit()

    def keep(self, picture: Path, name: str, colors: Optional[int] = None) -> Path:
        """Move a picture to the gallery.

        Args:
            picture: The picture that a tool wrote.
            name: Its name in the gallery.
            colors: Reduce a PNG to a palette of this number of colours, which makes it a third as large.

        Returns:
            Its new path.

        Raises:
            UserError: If it is larger than :data:`LARGEST`.
        """
        target = self.out / name
        if colors:
            with Image.open(picture) as image, write_file(target, 'wb') as stream:
                _reduced(image.convert('RGB'), colors).save(stream, 'PNG', optimize=True)
        else:
            put_file(picture, target)
        size = target.stat().st_size
        if size > LARGEST:
            raise UserError(f'{target} has {size} bytes; a picture of the docs may have {LARGEST}.')
        print(f'  {target}, {size / 1000:.0f} KB')
        return target


def _reduced(image: Image.Image, number: int) -> Image.Image:
    """Reduce the picture to a palette.

    A quarter of the palette is for flat areas, such as the colours of a legend. Median cut, which makes the rest, would merge
    them with similar colours of the picture.
    """
    colors, counts = np.unique(np.asarray(image).reshape(-1, 3), axis=0, return_counts=True)
    flat = colors[counts >= _FLAT].astype(int)
    palette = np.array(image.quantize(number - number // 4).getpalette()).reshape(-1, 3)
    distances = np.abs(flat[:, None] - palette).sum(-1).min(1) if len(flat) else np.zeros(0)
    for _ in range(number // 4):
        if not distances.any():
            break
        color = flat[distances.argmax()]
        palette = np.vstack([palette, color])
        distances = np.minimum(distances, np.abs(flat - color).sum(-1))
    own = Image.new('P', (1, 1))
    own.putpalette(palette.ravel().tolist())
    return image.quantize(palette=own, dither=Image.Dither.NONE)


_CHROMIUM = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-dev-shm-usage',
    '--hide-scrollbars',
)

Picture = Callable[[Gallery], None]
PICTURES: Dict[str, Picture] = {}
"""Functions that create a picture, by file name. Register one with ``@picture('NAME')``."""


def picture(name: str) -> Callable[[Picture], Picture]:
    """Register a function in :data:`PICTURES`."""

    def register(function: Picture) -> Picture:
        PICTURES[name] = function
        return function

    return register
