"""Select sites by the patterns of ``include`` and ``exclude``."""

import difflib
from fnmatch import fnmatchcase
from typing import Iterable, List, Optional, Sequence, Set

from torch import nn

from mm_frelu.engine.errors import UserError


def default_include(model: nn.Module) -> List[str]:
    """Return the pattern of the backbone if there is one, else of everything.

    The authors of FReLU replaced activations of the backbone only, also for detection and segmentation. In addition, a head
    that is called for several pyramid levels would share the statistics of its windows' norms between the levels.
    """
    return ['backbone'] if isinstance(getattr(model, 'backbone', None), nn.Module) else ['*']


def choose(
    names: Sequence[str], include: Iterable[str], exclude: Optional[Iterable[str]]
) -> Set[str]:
    """Select the names that match a pattern of ``include`` and no pattern of ``exclude``.

    Patterns are those of file names (``*``, ``?`` and ``[...]``; ``*`` also matches dots). A pattern that matches a module
    selects everything in it: ``backbone.layer1`` is the same as ``backbone.layer1.*``.

    Args:
        names: Names of the sites.
        include: Patterns.
        exclude: Patterns.

    Returns:
        The selected names.

    Raises:
        UserError: If a pattern matches nothing.
    """
    kept = {name for pattern in include for name in _matching(names, pattern, 'include')}
    for pattern in exclude or ():
        kept -= _matching(names, pattern, 'exclude')
    return kept


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches a name or one of its parent modules."""
    parts = name.split('.')
    parents = ['.'.join(parts[:length]) for length in range(len(parts), 0, -1)]
    return any(fnmatchcase(parent, pattern) for pattern in patterns for parent in parents)


def _matching(names: Sequence[str], pattern: str, option: str) -> Set[str]:
    found = {name for name in names if matches(name, [pattern])}
    if not found:
        known = sorted({name[:end] for name in names for end in _ends(name)})
        nearest = difflib.get_close_matches(pattern.strip('*.'), known, n=3, cutoff=0.3)
        hint = f' The nearest names: {", ".join(nearest or known[:3])}.' if known else ''
        raise UserError(
            f'{option} {pattern!r} matches none of the {len(names)} activations of this model.{hint} Use patterns like those '
            f"for file names: 'backbone.layer[12].*'. A pattern that matches a module selects everything in it."
        )
    return found


def _ends(name: str) -> List[int]:
    """Return the end positions of a name and of the names of its parent modules."""
    return [index for index, letter in enumerate(name) if letter == '.'] + [len(name)]
