"""Painting boxes: each side in its own light, the hidden ones left out."""

from dataclasses import dataclass
from typing import Dict, Sequence

from .camera import Camera
from .geometry import Face, Thing
from .light import Color, Light


@dataclass(frozen=True)
class View:
    """What decides how a surface looks: where it is seen from and the light on it."""

    camera: Camera
    light: Light

    def paint_block(
        self,
        thing: Thing,
        faces: Dict[str, Face],
        color: Color,
        skip: Sequence[str] = (),
        solid: bool = True,
    ) -> Dict[str, Face]:
        """Adds the sides of a box that face the camera to ``thing`` and returns them by name."""
        visible = {
            name: face
            for name, face in faces.items()
            if name not in skip and self.camera.sees(face.corners)
        }
        for face in visible.values():
            thing.add(face.corners, self.light.shade(color, face.normal), solid)
        return visible
