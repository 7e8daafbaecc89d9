"""Pictures of models and of what they do."""

from .comparison import draw_comparison, save_comparison
from .crop import Box, difference_density, find_crop
from .differences import Scores, count_answers, error_map, image_scores

__all__ = [
    'Box',
    'Scores',
    'count_answers',
    'difference_density',
    'draw_comparison',
    'error_map',
    'find_crop',
    'image_scores',
    'save_comparison',
]
