"""Paint the panels of one comparison, all of one size and over one image."""

from typing import NamedTuple

import numpy as np

from . import overlay
from .layout import Sheet

LARGEST = 4096
"""Longest side of a painted picture: twice that of the largest panel. A panorama of 20,000 pixels would need gigabytes."""


class Painter(NamedTuple):
    """Paints label maps as panels.

    A map with fewer pixels than a panel is enlarged to the panel's size by repeating labels. A larger map is painted first and then
    reduced. Maps of more than :data:`LARGEST` pixels a side are reduced to that before they are painted.

    Attributes:
        background: The image, or the part of it to show, at least as large as ``size``; RGB ``uint8`` array (H, W, 3).
        size: Width and height of a panel.
        palette: ``uint8`` array (num_classes, 3).
        opacity: Opacity of the class colours, 0 to 1.
        only_mask: Leave the image out of every map.
        ignore_index: The label that means "not labelled".
        sheet: The sheet, with a number of pixels per inch. Lines and stripes have the same width in inches on all sheets.
    """

    background: np.ndarray
    size: overlay.Size
    palette: np.ndarray
    opacity: float
    only_mask: bool
    ignore_index: int
    sheet: Sheet

    @classmethod
    def over(cls, image: np.ndarray, size: overlay.Size, **others) -> 'Painter':
        """Creates a painter over an image of any size."""
        most = overlay.limited(image.shape[1::-1], LARGEST)
        return cls(overlay.enlarge_image(overlay.shrink(image, most), size), size, **others)

    def image(self) -> np.ndarray:
        """Returns the image itself at the panel's size, (height, width, 3)."""
        return overlay.shrink(self.background, self.size)

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Paints class ids (H, W) in the colours of their classes."""
        picture = overlay.paint_labels(
            self.background,
            self._grown(labels),
            self.palette,
            1.0 if self.only_mask else self.opacity,
            self.ignore_index,
            self._hatch_period,
            0 if self.only_mask else self._outline,
        )
        return overlay.shrink(picture, self.size)

    def errors(self, states: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Paints errors.

        Args:
            states: Result of ``error_map``, (H, W).
            labels: The predicted class ids, (H, W).
        """
        picture = overlay.paint_errors(
            self.background,
            self._grown(states),
            self._grown(labels),
            self.palette,
            self._error_opacity,
            self._hatch_period,
            self._outline,
        )
        return overlay.shrink(picture, self.size)

    def disagreement(self, answers: np.ndarray, num_models: int) -> np.ndarray:
        """Paints where models differ.

        Args:
            answers: Result of ``count_answers``, (H, W).
            num_models: Number of models.
        """
        picture = overlay.paint_disagreement(
            self.background, self._grown(answers), num_models, self._error_opacity
        )
        return overlay.shrink(picture, self.size)

    def _grown(self, labels: np.ndarray) -> np.ndarray:
        return overlay.nearest_labels(labels, self.background.shape[1::-1])

    @property
    def _error_opacity(self) -> float:
        return 1.0 if self.only_mask else overlay.ERROR_OPACITY

    @property
    def _hatch_period(self) -> float:
        return self._pixels(0.06)

    @property
    def _outline(self) -> int:
        return max(round(self._pixels(0.004)), 1)

    def _pixels(self, inches: float) -> float:
        """Convert a length on the sheet to pixels of the background."""
        return inches * self.sheet.resolution * self.background.shape[1] / self.size[0]
