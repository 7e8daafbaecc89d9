"""Painting the panels of one comparison: all of one size, over one image."""

from typing import NamedTuple

import numpy as np

from . import layout, overlay
from . import palette as colors

_HATCH_PERIOD = round(0.06 * layout.DPI)


class Painter(NamedTuple):
    """Paints label maps as panels.

    A map with fewer pixels than a panel is repeated to the panel's size; a larger one is painted first and the painting reduced.

    Attributes:
        background: The image, or the part of it to show, not smaller than ``size``; RGB ``uint8`` array (H, W, 3).
        size: Width and height of a panel.
        palette: ``uint8`` array (num_classes, 3).
        opacity: Opacity of the class colours, 0 to 1.
        only_mask: Leave the image out of every map.
        ignore_index: The label that stands for "not labelled".
    """

    background: np.ndarray
    size: overlay.Size
    palette: np.ndarray
    opacity: float
    only_mask: bool
    ignore_index: int

    def image(self) -> np.ndarray:
        """The image itself, as an array (height, width, 3) of the panel's size, as all others."""
        return overlay.shrink(self.background, self.size)

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Class numbers (H, W) in the colours of their classes."""
        picture = overlay.paint_labels(
            self.background,
            overlay.enlarge_labels(labels, self.size),
            self.palette,
            1.0 if self.only_mask else self.opacity,
            self.ignore_index,
            self._hatch_period,
        )
        return overlay.shrink(picture, self.size)

    def errors(self, states: np.ndarray) -> np.ndarray:
        """The states (H, W) that ``error_map`` gives."""
        states = overlay.enlarge_labels(states, self.size)
        picture = overlay.paint_errors(self._ground, states, self._hatch_period)
        return overlay.shrink(picture, self.size)

    def disagreement(self, answers: np.ndarray, num_models: int) -> np.ndarray:
        """The numbers of different answers (H, W) that ``count_answers`` gives."""
        answers = overlay.enlarge_labels(answers, self.size)
        picture = overlay.paint_disagreement(self._ground, answers, num_models)
        return overlay.shrink(picture, self.size)

    @property
    def _ground(self) -> np.ndarray:
        if self.only_mask:
            return np.full_like(self.background, colors.CORRECT[0])
        return overlay.faded(self.background)

    @property
    def _hatch_period(self) -> float:
        # In pixels of the background, so that the stripes come out equally wide in every figure.
        return _HATCH_PERIOD * self.background.shape[1] / self.size[0]
