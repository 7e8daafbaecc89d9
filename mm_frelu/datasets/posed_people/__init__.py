"""Generated images of people in poses, with COCO's 17 keypoints.

The keypoint demo and the tests train on these images, so they need no other dataset. Hand-written rules draw them: a skeleton in
three dimensions (:mod:`.skeleton`) gets flat body parts (:mod:`.figure`) and stands in a street of
:mod:`mm_frelu.datasets.street_scenes` (:mod:`.picture`).
"""

from .generate import generate_posed_people
from .picture import Picture, draw_picture

__all__ = ['Picture', 'draw_picture', 'generate_posed_people']
