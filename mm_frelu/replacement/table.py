"""Tables of the sites that were replaced and of those that were not."""

import io
import re
from typing import Dict, List, Sequence, Tuple

from rich.console import Console
from rich.table import Table

from .sites import Site

WIDTH = 120


def replaced_table(sites: Sequence[Site], new: str) -> str:
    """Format the replaced sites, with one row for sites that differ only in the numbers in their names.

    Args:
        sites: The replaced sites.
        new: Class of the new activations.
    """
    table = Table(
        title=f'{len(sites)} activation{"" if len(sites) == 1 else "s"} replaced',
        title_justify='left',
    )
    table.add_column('site', overflow='fold')
    for heading in ('sites', 'old', 'new', 'channels', 'calls'):
        table.add_column(heading, justify='left' if heading in ('old', 'new') else 'right')
    for name, group in _fold(sites).items():
        channels = sorted({site.channels for site in group if site.channels is not None})
        calls = sorted({site.calls for site in group})
        kinds = ', '.join(dict.fromkeys(site.kind for site in group))
        table.add_row(name, str(len(group)), kinds, new, _span(channels), _span(calls))
    return _text(table)


def kept_table(kept: Sequence[Tuple[Site, str]], functional: Sequence[Tuple[str, str, int]]) -> str:
    """Format the sites that were not replaced, by reason, and the activations that are called as functions.

    Args:
        kept: Sites and reasons.
        functional: Modules, functions and numbers of calls.
    """
    by_reason: Dict[str, List[Site]] = {}
    for site, reason in kept:
        by_reason.setdefault(reason, []).append(site)
    table = Table(title='Not replaced', title_justify='left')
    table.add_column('site', overflow='fold')
    table.add_column('sites', justify='right')
    table.add_column('old')
    table.add_column('why', overflow='fold')
    for reason, sites in by_reason.items():
        for name, group in _fold(sites, r'(?<=\.)(act)?\d+\b').items():
            kinds = ', '.join(dict.fromkeys(site.kind for site in group))
            table.add_row(name, str(len(group)), kinds, reason)
    for module, function, calls in functional:
        times = f'{calls} times' if calls > 1 else 'once'
        why = f'called as a function, {times} in one pass; there is no module to replace'
        table.add_row(module or '(the model itself)', '', f'{function}()', why)
    return _text(table)


def _fold(sites: Sequence[Site], numbers: str = r'\b\d+\b') -> Dict[str, List[Site]]:
    """Group sites by their name without numbers. The new name shows the numbers as a range."""
    groups: Dict[str, List[Site]] = {}
    for site in sites:
        groups.setdefault(re.sub(numbers, '#', site.name), []).append(site)
    return {_spans([site.name for site in group]): group for group in groups.values()}


def _spans(names: Sequence[str]) -> str:
    """Combine names: ``a.0.b``, ``a.1.b`` and ``a.2.b`` become ``a.[0-2].b``."""
    parts = []
    for words in zip(*(name.split('.') for name in names)):
        different = sorted(set(words), key=lambda word: (len(word), word))
        if len(different) == 1:
            parts.append(words[0])
            continue
        stem = 'act' if words[0].startswith('act') else ''
        parts.append(f'{stem}[{_range([word[len(stem) :] for word in different])}]')
    return '.'.join(parts)


def _range(words: Sequence[str]) -> str:
    """Format numbers as ``0-3`` if none is missing between the first and the last, else as ``2,5,8``."""
    whole = int(words[-1]) - int(words[0]) == len(words) - 1
    return f'{words[0]}-{words[-1]}' if whole and len(words) > 2 else ','.join(words)


def _span(numbers: Sequence[int]) -> str:
    if not numbers:
        return '-'
    return str(numbers[0]) if len(numbers) == 1 else f'{numbers[0]}-{numbers[-1]}'


def _text(table: Table) -> str:
    stream = io.StringIO()
    Console(file=stream, width=WIDTH, highlight=False, no_color=True).print(table)
    return stream.getvalue().rstrip()
