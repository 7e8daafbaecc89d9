"""Colours of errors and differences, and class palettes.

The colours of classes come from the dataset. Vermilion and blue are from the palette of Okabe and Ito ("Color Universal Design", 2008),
which people with the common forms of colour blindness can distinguish. Neither is close to a class colour of CityScapes.
"""

from typing import Optional, Sequence, Tuple

import numpy as np

Color = Tuple[int, int, int]

WRONG: Color = (213, 94, 0)
SLIP: Color = (247, 190, 140)
CORRECT: Color = (224, 224, 224)
FRAME: Color = (213, 94, 0)
HATCH_LIGHT: Color = (255, 255, 255)
HATCH_DARK: Color = (176, 176, 176)

_DIFFERENT_LIGHT = np.array((86, 180, 233))
_DIFFERENT_DARK = np.array((0, 45, 98))


def difference_colors(num_answers: int) -> np.ndarray:
    """Returns colours for pixels by the number of different answers of the models.

    Args:
        num_answers: Largest number of different answers, at least 1.

    Returns:
        ``uint8`` array (num_answers, 3). Row 0 is for one answer (all models agree) and is light grey. The following rows go from
        light to dark blue.
    """
    steps = np.linspace(0, 1, max(num_answers - 1, 1))[:, None]
    blues = _DIFFERENT_LIGHT + steps * (_DIFFERENT_DARK - _DIFFERENT_LIGHT)
    if num_answers == 2:  # a single blue: the strong middle one
        blues = np.array([(0, 114, 178)])
    return np.vstack([[CORRECT], blues])[:num_answers].round().astype(np.uint8)


def default_palette(num_classes: int) -> np.ndarray:
    """Returns colours for classes without a palette: Pascal VOC's bit-interleaved colours, without black.

    Args:
        num_classes: Number of classes.

    Returns:
        ``uint8`` array (num_classes, 3), all rows different for up to 255 classes.
    """
    index = np.arange(1, num_classes + 1)
    colors = np.zeros((num_classes, 3), dtype=np.int64)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return colors.astype(np.uint8)


def as_palette(palette: Optional[Sequence[Sequence[int]]], num_classes: int) -> np.ndarray:
    """Returns ``palette`` as an array, or :func:`default_palette` if it is None.

    Args:
        palette: One RGB colour (0..255) for each class, or None.
        num_classes: Number of classes.

    Returns:
        ``uint8`` array (num_classes, 3).

    Raises:
        ValueError: If the palette has another length or shape, or values outside 0..255.
    """
    if palette is None:
        return default_palette(num_classes)
    colors = np.asarray(palette)
    if colors.shape != (num_classes, 3):
        raise ValueError(
            f'The palette must have one RGB colour for each of the {num_classes} classes, in an array of shape '
            f'({num_classes}, 3); it has shape {colors.shape}.'
        )
    if colors.min() < 0 or colors.max() > 255:
        raise ValueError(
            f'Palette colours must lie in 0..255; found {colors.min()} to {colors.max()}.'
        )
    return colors.astype(np.uint8)
