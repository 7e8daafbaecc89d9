"""Class names in any script: a font that has their characters, or a readable replacement."""

import warnings

import numpy as np
import pytest
from matplotlib import rcParams

from mm_frelu.visualization import draw_comparison, fonts

MODIFIER = '\u1d81'  # in STIXGeneral, which Matplotlib brings, and not in its default font


def texts_of(figure):
    return [text for axes in figure.axes for text in axes.texts]


def draw(classes, model='A'):
    labels = np.arange(2).repeat(32).reshape(2, 32).repeat(16, axis=0)
    image = np.zeros((32, 32, 3), np.uint8)
    return draw_comparison(image, {model: labels}, classes=classes)


@pytest.fixture
def only_own_fonts(monkeypatch):
    """Only Matplotlib's own fonts, like on a machine without other fonts."""
    own = {name: file for name, file in fonts._installed().items() if 'mpl-data' in file}
    monkeypatch.setattr(fonts, '_installed', lambda: own)
    monkeypatch.setattr(fonts, '_find_new_fonts', lambda: False)


def test_plain_names_need_no_other_font():
    assert fonts.families_for(['road', 'Straße', 'дорога']) == (rcParams['font.family'], '')


def test_a_font_with_the_characters_is_found(only_own_fonts):
    before = list(rcParams['font.family'])
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # Matplotlib warns of a missing glyph when it draws
        figure = draw((f'road {MODIFIER}', 'car'))
        figure.canvas.draw()
    families = {family for text in texts_of(figure) for family in text.get_fontfamily()}
    assert 'STIXGeneral' in families
    assert rcParams['font.family'] == before


def test_without_a_font_the_number_stands_for_the_name_and_is_told(only_own_fonts):
    with pytest.warns(UserWarning, match='No installed font has the characters 道路'):
        figure = draw(('道路', 'car'), model='道')
    shown = [text.get_text() for text in texts_of(figure)]
    assert 'class 0' in shown
    assert 'car' in shown
    assert 'model 0' in shown
    assert not any('道' in text for text in shown)
