"""Canvas of a scene: antialiased colours, and the outlines that become labels."""

from dataclasses import dataclass
from typing import List, Sequence

import cv2
import numpy as np

from .camera import Camera
from .geometry import Patch, Thing
from .labels import INSTANCE_LABELS
from .light import Light

SUPERSAMPLING = 2  # colours are painted at this many times the resolution and averaged
_SHIFT = 4  # fractional bits of OpenCV coordinates


@dataclass(frozen=True)
class Region:
    """One labelled polygon, as an annotator of CityScapes would click it.

    Attributes:
        label: CityScapes label name.
        polygon: Whole-pixel corners (n, 2), inside the picture, n >= 3.
        group: Whether it represents several instances.
        depth: Distance in metres. The grain of a surface decreases with it.
    """

    label: str
    polygon: np.ndarray
    group: bool = False
    depth: float = 0.0


class Canvas:
    """Paints things and records their outlines in drawing order.

    Args:
        camera: Projects metres to pixels.
        light: Gives the haze.
    """

    def __init__(self, camera: Camera, light: Light):
        self.camera = camera
        self.light = light
        width, height = camera.size
        self.pixels: np.ndarray = np.zeros(
            (height * SUPERSAMPLING, width * SUPERSAMPLING, 3), np.uint8
        )
        self.regions: List[Region] = []

    def paint(self, thing: Thing) -> None:
        """Paints a thing over everything painted before and records its outline."""
        if not thing.patches:
            return
        pixels = self.draw(thing.patches)
        outline = [
            polygon
            for patch, polygons in zip(thing.patches, pixels)
            if patch.solid
            for polygon in polygons
        ]
        self.mark(thing.label, outline, thing.group, thing.depth)

    def draw(self, patches: Sequence[Patch]) -> List[np.ndarray]:
        """Paints patches without changing labels, and returns their corners in picture pixels."""
        # All corners are projected at once: a scene has some thousand polygons of a few corners.
        shapes = [patch.points.shape for patch in patches]
        points = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
        pixels = self.camera.project(points)
        counts, corners = np.array([shape[:2] for shape in shapes]).T
        ends = np.cumsum(np.repeat(corners, counts))
        starts = np.concatenate([[0], ends[:-1]])

        colors = np.zeros((len(ends), 3))
        painted = np.ones(len(ends), bool)
        first = 0
        for patch, count in zip(patches, counts.tolist()):
            if patch.color is None:
                painted[first : first + count] = False
            else:
                colors[first : first + count] = patch.color
            first += count
        low, high = np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)
        painted &= ((high > 0) & (low < self.camera.size)).all(1)
        painted &= (high - low).max(1) > 0.25  # too small to be seen

        colors = np.clip(self.light.fade(colors, points[starts, 2:]), 0, 255).tolist()
        fixed = _fixed_point(pixels * SUPERSAMPLING)
        for i, start, end in zip(
            *(a[painted].tolist() for a in (np.arange(len(ends)), starts, ends))
        ):
            cv2.fillPoly(self.pixels, [fixed[start:end]], colors[i], cv2.LINE_AA, _SHIFT)
        splits = np.split(pixels, np.cumsum(counts * corners)[:-1])
        return [chunk.reshape(*shape[:2], 2) for chunk, shape in zip(splits, shapes)]

    def fill(self, polygon: np.ndarray, color: np.ndarray) -> None:
        """Fills a polygon (n, 2) given in picture pixels."""
        values = np.clip(color, 0, 255).tolist()
        cv2.fillPoly(
            self.pixels, [_fixed_point(polygon * SUPERSAMPLING)], values, cv2.LINE_AA, _SHIFT
        )

    def darken(self, areas: Sequence[np.ndarray], strength: float, softness: float) -> None:
        """Darkens the ground under shadows. Overlapping shadows are no darker than a single one.

        Args:
            areas: Points (n, 3) in metres; the convex hull of each is darkened.
            strength: 0 leaves the ground unchanged, 1 makes it black.
            softness: Width of the edge as a share of the picture's width.
        """
        height, width = self.pixels.shape[:2]
        mask: np.ndarray = np.zeros((height, width), np.uint8)
        for points in areas:
            corners = self.camera.project(points).astype(np.float32) * SUPERSAMPLING
            cv2.fillConvexPoly(
                mask, _fixed_point(cv2.convexHull(corners)[:, 0]), 255, cv2.LINE_AA, _SHIFT
            )
        reach = max(1, round(softness * width))
        mask = cv2.blur(mask, (reach, reach))
        self.pixels = cv2.multiply(
            self.pixels, cv2.merge([255 - mask * strength] * 3).astype(np.uint8), scale=1 / 255
        )

    def mark(
        self, label: str, outline: List[np.ndarray], group: bool = False, depth: float = 0.0
    ) -> None:
        """Records the joint outline of several polygons (n, 2), in picture pixels, with a label.

        Like in CityScapes, the outline has no holes: pixels seen through a fence are fence. An
        instance keeps only its largest piece, because one polygon is one instance.
        """
        width, height = self.camera.size
        if not outline:
            return
        corners = np.concatenate(outline)
        x0, y0 = np.clip(np.floor(corners.min(0)), 0, (width, height)).astype(int)
        x1, y1 = np.clip(np.ceil(corners.max(0)) + 1, 0, (width, height)).astype(int)
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        ends = np.cumsum([len(polygon) for polygon in outline])
        for polygon in np.split(_fixed_point(corners - (x0, y0)), ends[:-1]):
            cv2.fillPoly(mask, [polygon], 1, cv2.LINE_8, _SHIFT)
        pieces, _ = cv2.findContours(
            mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(int(x0), int(y0))
        )
        if not pieces:
            return
        if not group and label in INSTANCE_LABELS:
            pieces = [max(pieces, key=cv2.contourArea)]
        for piece in pieces:
            polygon = cv2.approxPolyDP(piece, 0.6, True)[:, 0]
            # A polygon file needs three corners, even for a speck of one pixel.
            polygon = np.concatenate(
                [polygon, np.repeat(polygon[-1:], max(0, 3 - len(polygon)), 0)]
            )
            self.regions.append(Region(label, polygon.astype(int), group, depth))

    def picture(self) -> np.ndarray:
        """The painted colours at picture size, float32 (height, width, 3) in 0..255."""
        picture = cv2.resize(self.pixels, self.camera.size, interpolation=cv2.INTER_AREA)
        return picture.astype(np.float32)


def _fixed_point(corners: np.ndarray) -> np.ndarray:
    # OpenCV's origin is the centre of the first pixel, ours is its corner.
    return np.round((corners - 0.5) * (1 << _SHIFT)).astype(np.int32)
