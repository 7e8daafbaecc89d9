"""People in poses, drawn by hand-written rules, with COCO's 17 keypoints.

What demo and tests of keypoint detection train on where no data set is at hand. A body is a skeleton in space
(:mod:`.skeleton`), dressed in flat pieces (:mod:`.figure`), in front of a street of :mod:`mm_frelu.datasets.street_scenes`
(:mod:`.picture`).
"""

from .generate import generate_posed_people
from .picture import Picture, draw_picture

__all__ = ['Picture', 'draw_picture', 'generate_posed_people']
