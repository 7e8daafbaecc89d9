"""Synthetic street scenes, drawn by rules, in CityScapes layout and as COCO.

The demo and the tests train on them, because they need no download. A scene is a street in metres
(:mod:`.street`, :mod:`.layout`), made of flat polygons in space (:mod:`.geometry`). A pinhole
camera (:mod:`.camera`) projects them, they are painted from far to near (:mod:`.canvas`), and a
sensor model (:mod:`.sensor`) adds noise and exposure. Outlines become labels (:mod:`.annotation`).
"""

from .generate import generate_street_scenes
from .scene import Scene, draw_scene

__all__ = ['Scene', 'draw_scene', 'generate_street_scenes']
