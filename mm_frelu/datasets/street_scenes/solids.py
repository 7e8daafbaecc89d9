"""Paint the visible sides of boxes, each in its own light."""

from dataclasses import dataclass
from typing import Dict, Sequence

from .camera import Camera
from .geometry import Face, Thing
from .light import Color, Light


@dataclass(frozen=True)
class View:
    """Camera and light, which together determine how a surface looks."""

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
