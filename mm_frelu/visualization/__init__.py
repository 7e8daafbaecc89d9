"""Figures and pages that show and compare the results of models."""

from .comparison import draw_comparison, save_figure
from .crop import Box, difference_density, find_crop
from .differences import Scores, count_answers, error_map, image_scores
from .layout import Sheet
from .rows import Row, draw_rows

__all__ = [
    'Box',
    'Row',
    'Scores',
    'Sheet',
    'count_answers',
    'difference_density',
    'draw_comparison',
    'draw_rows',
    'error_map',
    'find_crop',
    'image_scores',
    'save_figure',
]
