"""Data: generated street scenes for demo and tests, a transform that checks labels, checks of a config's datasets."""

from .check_dataset import check_datasets
from .street_scenes import generate_street_scenes
from .transforms import CheckLabelIds

__all__ = ['CheckLabelIds', 'check_datasets', 'generate_street_scenes']
