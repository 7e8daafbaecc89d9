"""Pictures of segmentation for docs/comparison.md."""

import tempfile
from pathlib import Path
from typing import List

from gallery_frame import PHOTOGRAPHS, Gallery, picture

MODELS = {'PSPNet R-18 ReLU': 'pspnet_r18_relu', 'PSPNet R-18 FReLU': 'pspnet_r18_frelu'}
SCENE = 'harbour_000034_000019'


def _models(gallery: Gallery) -> List[str]:
    """Return the options for both models of the demo."""
    options = []
    for name, folder in MODELS.items():
        options += ['--model', name, gallery.config(folder), gallery.checkpoint(folder)]
    return options


def _draw(gallery: Gallery, *options: str) -> Path:
    """Run the tool; return the output folder."""
    out = Path(tempfile.mkdtemp(dir=gallery.scratch))
    gallery.run(
        'visualize_segmentation.py', *options, *_models(gallery), '--device', 'cpu', '--out', out
    )
    return out


def _labels(gallery: Gallery) -> List[str]:
    return ['--gt', str(gallery.data / 'gtFine' / 'val')]


@picture('comparison.png')
def comparison(gallery: Gallery) -> None:
    """One scene: predictions, errors, scores."""
    out = _draw(gallery, '--images', gallery.scene(SCENE), *_labels(gallery))
    gallery.keep(next(out.rglob('*.png')), 'comparison.png', colors=256)


@picture('comparison_rows.png')
def rows(gallery: Gallery) -> None:
    """Three scenes as rows, with automatic crops, as wide as two columns of a paper."""
    images = gallery.scenes(3)
    out = _draw(
        gallery,
        '--images',
        *images,
        *_labels(gallery),
        '--one-figure',
        '--crop',
        'auto',
        '--width',
        '6.9',
    )
    gallery.keep(out / 'comparison.png', 'comparison_rows.png', colors=256)


@picture('comparison_photographs.png')
def photographs(gallery: Gallery) -> None:
    """Photographs without labels."""
    images = [gallery.photograph(name) for name in PHOTOGRAPHS]
    out = _draw(gallery, '--images', *images, '--one-figure', '--width', '5', '--dpi', '200')
    gallery.keep(out / 'comparison.png', 'comparison_photographs.png', colors=256)


@picture('comparison_page.png')
def page(gallery: Gallery) -> None:
    """Screenshot of the HTML page for all test scenes."""
    out = _draw(
        gallery, '--images', str(gallery.data / 'leftImg8bit' / 'val'), *_labels(gallery), '--html'
    )
    shot = out / 'page.png'
    gallery.screenshot(out / 'comparison.html', shot)
    gallery.keep(shot, 'comparison_page.png')


@picture('comparison_page_errors.png')
def page_errors(gallery: Gallery) -> None:
    """The same page with dark colours: errors side by side, for the image where FReLU gains most."""
    out = _draw(
        gallery, '--images', str(gallery.data / 'leftImg8bit' / 'val'), *_labels(gallery), '--html'
    )
    shot = out / 'page.png'
    gallery.screenshot(
        out / 'comparison.html', shot, '#layout=grid&mode=errors', dark=True, size='1200,760'
    )
    gallery.keep(shot, 'comparison_page_errors.png')
