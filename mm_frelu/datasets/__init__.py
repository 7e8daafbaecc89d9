"""Checks of a config's datasets, a transform that checks labels, and generated street scenes for the demo and tests.

Import the street scenes from :mod:`mm_frelu.datasets.street_scenes`. Only they need cityscapesscripts and pycocotools.
"""

from .check_dataset import check_datasets
from .transforms import CheckLabelIds

__all__ = ['CheckLabelIds', 'check_datasets']
