"""Street scenes drawn by hand-written rules, in CityScapes layout and as COCO.

They are what demo and tests train on where no data set is at hand. A scene is a street in metres
(:mod:`.street`, :mod:`.layout`) of flat pieces in space (:mod:`.geometry`), seen by a pinhole
camera (:mod:`.camera`), painted from far to near (:mod:`.canvas`) and photographed
(:mod:`.sensor`). Its outlines become labels (:mod:`.annotation`).
"""

from .generate import generate_street_scenes
from .scene import Scene, draw_scene

__all__ = ['Scene', 'draw_scene', 'generate_street_scenes']
