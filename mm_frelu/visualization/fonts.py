"""Choose fonts for class names in any script. Matplotlib's default font draws empty boxes for Chinese, Japanese and Korean."""

import contextlib
import warnings
from functools import cache
from typing import Dict, FrozenSet, Iterable, List, Tuple

from matplotlib import font_manager, rcParams
from matplotlib.ft2font import FT2Font


def families_for(texts: Iterable[str]) -> Tuple[List[str], str]:
    """Chooses font families that together have the characters of some texts.

    Args:
        texts: The texts to draw.

    Returns:
        Families for ``rcParams['font.family']``: the current ones, then others for missing characters. And the characters that
        no installed font has, each once.
    """
    letters = ''.join(letter for letter in dict.fromkeys(''.join(texts)) if letter.isprintable())
    families, absent = _choose(letters)
    if absent and _find_new_fonts():
        families, absent = _choose(letters)
    return families, absent


def _choose(absent: str) -> Tuple[List[str], str]:
    families = list(rcParams['font.family'])
    for index, family in enumerate((*families, *_installed())):
        if not absent:
            break
        known = _characters(family)
        still = ''.join(letter for letter in absent if ord(letter) not in known)
        if still != absent and index >= len(rcParams['font.family']):
            families.append(family)
        absent = still
    return families, absent


@cache
def _find_new_fonts() -> bool:
    """Add fonts that were installed after Matplotlib cached its font list on disk; return whether there are any."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    found = False
    for path in sorted(set(font_manager.findSystemFonts()) - known):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # a font that cannot be read
            font_manager.fontManager.addfont(path)
            found = True
    if found:
        _installed.cache_clear()
    return found


def drawable(names: Iterable[str], noun: str, absent: str) -> List[str]:
    """Replaces each name that has a character of ``absent`` with ``noun`` and its index."""
    return [
        f'{noun} {number}' if set(name) & set(absent) else name for number, name in enumerate(names)
    ]


def tell_lacking(text: str) -> None:
    """Warns that pictures cannot show some characters."""
    shown = text[:8] + ('...' if len(text) > 8 else '')
    warnings.warn(
        f'No installed font has the characters {shown}: pictures show "class N" or "model N" instead of such names. Install a font '
        'that has them (Linux: fonts-noto-cjk).',
        stacklevel=2,
    )


def _characters(family: str) -> FrozenSet[int]:
    """Return the characters of a family's font. For 'sans-serif' and missing families, use the font that Matplotlib falls back to."""
    path = _installed().get(family) or font_manager.findfont(
        font_manager.FontProperties(family=[family])
    )
    return _characters_of_file(path)


@cache
def _characters_of_file(path: str) -> FrozenSet[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except RuntimeError:  # not readable
        return frozenset()


@cache
def _installed() -> Dict[str, str]:
    """Return the installed families and a file of each, sans-serif fonts first."""
    entries = sorted(
        font_manager.fontManager.ttflist,
        key=lambda entry: (
            'sans' not in entry.name.lower(),
            'serif' in entry.name.lower(),
            entry.name,
            entry.style != 'normal',
            entry.weight not in (400, 'normal', 'regular'),
        ),
    )
    files: Dict[str, str] = {}
    for entry in entries:
        # Last-resort fonts have a placeholder box for every character.
        if 'lastresort' not in entry.name.lower().replace(' ', ''):
            files.setdefault(entry.name, entry.fname)
    return files
