"""Selects sites by the patterns of ``include`` and ``exclude``."""

import difflib
from fnmatch import fnmatchcase
from typing import Iterable, List, Optional, Sequence, Set

from torch import nn

from mm_frelu.engine.errors import UserError


def default_include(model: nn.Module) -> List[str]:
    """The backbone where there is one, else everything.

    The authors of FReLU replaced activations of the backbone only, for detection and segmentation too. A head that is called
    for several levels of a pyramid would besides share the statistics of its windows' norms between them.
    """
    return ['backbone'] if isinstance(getattr(model, 'backbone', None), nn.Module) else ['*']


def choose(
    names: Sequence[str], include: Iterable[str], exclude: Optional[Iterable[str]]
) -> Set[str]:
    """The names that a pattern of ``include`` matches and none of ``exclude``.

    A pattern (``*``, ``?`` and ``[...]`` as in file names; ``*`` also matches dots) that matches a module takes everything
    in it: ``backbone.layer1`` is ``backbone.layer1.*``.

    Args:
        names: Names of the sites.
        include: Patterns.
        exclude: Patterns.

    Raises:
        UserError: When a pattern matches nothing.
    """
    kept = {name for pattern in include for name in _matching(names, pattern, 'include')}
    for pattern in exclude or ():
        kept -= _matching(names, pattern, 'exclude')
    return kept


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches a name, or a module that it lies in."""
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
            f'{option} {pattern!r} matches no activation of this model, which has {len(names)}.{hint} Patterns are those of '
            f"file names: 'backbone.layer[12].*'; one that matches a module takes everything in it."
        )
    return found


def _ends(name: str) -> List[int]:
    """Where a name and the names of the modules around it end."""
    return [index for index, letter in enumerate(name) if letter == '.'] + [len(name)]
