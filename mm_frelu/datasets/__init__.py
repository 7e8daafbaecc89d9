"""Data: checks of a config's datasets, a transform that checks labels, generated street scenes for demo and tests.

The street scenes are imported from :mod:`mm_frelu.datasets.street_scenes`: they alone need cityscapesscripts and pycocotools.
"""

from .check_dataset import check_datasets
from .transforms import CheckLabelIds

__all__ = ['CheckLabelIds', 'check_datasets']
