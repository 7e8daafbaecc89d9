"""Write scenes with CityScapes' folders and names, and COCO JSON for the same pictures."""

import json
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np

from .annotation import coco_entries, label_images, polygon_file
from .labels import COCO_CATEGORIES, name2label
from .scene import Scene

CITIES = {'train': 'linden', 'val': 'harbour'}
"""One fictional town per split. CityScapes also has different towns in its splits."""


class SplitWriter:
    """Writes the scenes of one split.

    Args:
        root: Folder of the data set.
        split: 'train' or 'val'.
    """

    def __init__(self, root: Path, split: str):
        self.city = CITIES[split]
        self.images = root / 'leftImg8bit' / split
        self.labels = root / 'gtFine' / split
        self.coco_path = root / 'annotations' / f'instances_{split}.json'
        for folder in (self.images / self.city, self.labels / self.city, self.coco_path.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self._images: List[Dict[str, Any]] = []
        self._annotations: List[Dict[str, Any]] = []

    def add(self, index: int, scene: Scene) -> None:
        """Writes picture, label images and polygons of one scene, and collects its COCO entries."""
        # Sequence and frame number. In CityScapes the labelled frame of every snippet is the 20th.
        stem = f'{self.city}_{index:06d}_000019'
        height, width = scene.owners.shape
        file_name = f'{self.city}/{stem}_leftImg8bit.png'
        write_png(self.images / file_name, scene.image[..., ::-1])
        for kind, picture in label_images(scene.regions, scene.owners).items():
            if kind == 'color':
                picture = picture[..., [2, 1, 0, 3]]
            write_png(self.labels / self.city / f'{stem}_gtFine_{kind}.png', picture)
        polygons = json.dumps(polygon_file(scene.regions, (width, height)))
        (self.labels / self.city / f'{stem}_gtFine_polygons.json').write_text(polygons)

        image_id = index + 1
        self._images.append(dict(id=image_id, file_name=file_name, width=width, height=height))
        for entry in coco_entries(scene.regions, scene.owners):
            self._annotations.append(
                dict(id=len(self._annotations) + 1, image_id=image_id, **entry)
            )

    def close(self) -> None:
        """Writes the COCO file."""
        categories = [
            dict(id=number, name=name, supercategory=name2label[name].category)
            for number, name in enumerate(COCO_CATEGORIES, start=1)
        ]
        content = dict(
            info=dict(description='Street scenes drawn by mm_frelu', version='1.0'),
            licenses=[],
            images=self._images,
            annotations=self._annotations,
            categories=categories,
        )
        self.coco_path.write_text(json.dumps(content))


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes pixels, blue first if they have colours. Unlike cv2.imwrite, it raises an OSError if the disk is full."""
    done, data = cv2.imencode('.png', pixels)
    if not done:
        raise OSError(f'{path}: OpenCV could not encode the PNG')
    path.write_bytes(data.tobytes())
