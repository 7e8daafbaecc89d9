"""Tables of a comparison: Markdown for documents, CSV with all numbers for further computation."""

import csv
from pathlib import Path
from typing import Any, Dict, Sequence

from mm_frelu.engine.write_file import write_file


def markdown(rows: Sequence[Dict[str, str]]) -> str:
    """Format a table whose columns are the keys of the first row. All columns except the first are numbers."""
    headings = list(rows[0])
    lines = [headings, ['---', *['--:'] * (len(headings) - 1)]]
    lines += [[row[heading] for heading in headings] for row in rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    with write_file(path) as file:
        file.write(text)


def write_csv(path: Path, rows: Sequence[Dict[str, Any]]) -> None:
    """Write rows with the keys of the first one, completely or not at all."""
    with write_file(path, newline='') as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def mebibytes(number: int) -> str:
    """Format bytes as ``1,894 MiB``, with one decimal below 100 MiB."""
    size = number / 2**20
    return f'{size:,.0f} MiB' if size >= 100 else f'{size:.1f} MiB'


def milliseconds(seconds: float) -> str:
    """Format a time as ``512 ms``, with one decimal below 100 ms."""
    return f'{1000 * seconds:,.0f} ms' if seconds >= 0.1 else f'{1000 * seconds:.1f} ms'
