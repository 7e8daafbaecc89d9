"""Types of command-line options. Each raises ``ArgumentTypeError``, which argparse prints as a usage error."""

import argparse

_CENTIMETRES = 2.54  # per inch


def count(text: str) -> int:
    """Parses an integer of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected an integer of at least 1, found {text}')
    return int(text)


def share(text: str) -> float:
    """Parses a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 1, found {text}')
    return value


def positive(text: str) -> float:
    """Parses a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'expected a number above 0, found {text}')
    return value


def length(text: str) -> float:
    """Parses a length, in inches or with the unit in, cm, mm or pt; returns inches."""
    units = {'in': 1.0, 'cm': 1 / _CENTIMETRES, 'mm': 0.1 / _CENTIMETRES, 'pt': 1 / 72}
    number, factor = text, 1.0
    for unit, size in units.items():
        if text.endswith(unit):
            number, factor = text[: -len(unit)], size
    try:
        value = float(number) * factor
    except ValueError:
        value = 0.0
    if not 0.2 <= value <= 100:
        raise argparse.ArgumentTypeError(
            f'expected a length from 0.2 to 100 inches, such as 3.25, 8.3cm or 234pt; found {text}'
        )
    return value
