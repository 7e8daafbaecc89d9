"""The gallery: which pictures there are, and what its smaller palettes do to their colours."""

import re
import sys

import numpy as np
import pytest
import tiny_project
from PIL import Image

DOCS = tiny_project.REPOSITORY / 'docs'


@pytest.fixture
def gallery(monkeypatch):
    monkeypatch.syspath_prepend(tiny_project.REPOSITORY / 'tools')
    return tiny_project.load_tool('gallery.py')


def test_every_picture_of_the_pages_is_in_it(gallery, capsys):
    gallery.main(['--list'])
    listed = set(capsys.readouterr().out.split())
    shown = {
        name
        for page in [*DOCS.rglob('*.md'), DOCS.parent / 'README.md']
        for name in re.findall(r'images/([\w-]+\.png)', page.read_text())
    }
    # The studies and the benchmark draw their own, from hours of training or on a GPU.
    assert shown - listed == {'ablation.png', 'cost.png', 'finetuning.png'}
    assert all((DOCS / 'images' / name).is_file() for name in listed)


def test_an_unknown_picture_is_named(gallery, capsys):
    with pytest.raises(SystemExit):
        gallery.main(['--only', 'comparisons.png'])
    assert "no picture is called 'comparisons.png'" in capsys.readouterr().err


def test_without_the_demo_one_sentence_says_so(gallery, tmp_path, capsys):
    with pytest.raises(SystemExit):
        gallery.main(['--demo', str(tmp_path), '--out', str(tmp_path), '--only', 'comparison.png'])
    assert 'Run `make demo` first' in capsys.readouterr().err


def test_a_small_palette_keeps_the_colours_of_a_legend(gallery):
    """Beside a photograph with thousands of colours, two of which are close to one of the legend."""
    generator = np.random.default_rng(0)
    pixels = np.clip(generator.normal((120, 60, 60), 40, (400, 600, 3)), 0, 255).astype(np.uint8)
    legend = [(244, 35, 232), (220, 20, 60), (0, 0, 142), (107, 142, 35)]
    for index, color in enumerate(legend):
        pixels[380:390, 20 * index : 20 * index + 15] = color
    reduced = sys.modules['gallery_frame']._reduced(Image.fromarray(pixels), 64)
    assert len(reduced.convert('RGB').getcolors()) <= 64
    for index, color in enumerate(legend):
        assert reduced.convert('RGB').getpixel((20 * index + 7, 385)) == color
