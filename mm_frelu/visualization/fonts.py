"""Fonts for class names in any script. Matplotlib's own font has no Chinese, Japanese or Korean, and draws empty boxes for them."""

import contextlib
import warnings
from functools import cache
from typing import Dict, FrozenSet, Iterable, List, Tuple

from matplotlib import font_manager, rcParams
from matplotlib.ft2font import FT2Font


def families_for(texts: Iterable[str]) -> Tuple[List[str], str]:
    """Font families which together have the characters of some texts, as far as the installed fonts have them.

    Args:
        texts: What is to be drawn.

    Returns:
        Families for ``rcParams['font.family']``: those that are set, then others for what their fonts lack. And the
        characters that no installed font has, each once.
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
    """Whether there are fonts that were installed after Matplotlib made its list of them, which it keeps on disk; they are added."""
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
    """Names to draw: ``noun`` and a number, counted from 0, in place of each that has one of the characters ``absent``."""
    return [
        f'{noun} {number}' if set(name) & set(absent) else name for number, name in enumerate(names)
    ]


def tell_lacking(text: str) -> None:
    """Warn that pictures cannot show some characters."""
    shown = text[:8] + ('...' if len(text) > 8 else '')
    warnings.warn(
        f'No installed font has the characters {shown}: pictures show "class N" or "model N" in place of such names. Install a font '
        'that has them (Linux: fonts-noto-cjk).',
        stacklevel=2,
    )


def _characters(family: str) -> FrozenSet[int]:
    """What the font of a family has; of one that is not installed, and of 'sans-serif', the font that Matplotlib takes."""
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
    """The installed families and a file of each, those without serifs first, as the rest of a picture is."""
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
        # The fonts of last resort have a box for every character.
        if 'lastresort' not in entry.name.lower().replace(' ', ''):
            files.setdefault(entry.name, entry.fname)
    return files
