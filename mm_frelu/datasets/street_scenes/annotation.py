"""Convert labelled polygons to label images, CityScapes polygon files and COCO entries."""

from typing import Any, Dict, List, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from .canvas import Region
from .labels import COCO_CATEGORIES, name2label


def owner_map(regions: Sequence[Region], size: Tuple[int, int]) -> np.ndarray:
    """Draws the regions over one another.

    cityscapesscripts also draws polygons with Pillow, so its tools create the same label images
    from our polygon files.

    Args:
        regions: In drawing order.
        size: Width and height.

    Returns:
        int32 array (height, width): index of the topmost region plus one, 0 if there is none.
    """
    image = Image.new('I', size, 0)
    drawer = ImageDraw.Draw(image)
    for number, region in enumerate(regions, start=1):
        drawer.polygon([tuple(corner) for corner in region.polygon.tolist()], fill=number)
    return np.asarray(image, dtype=np.int32)


def label_images(regions: Sequence[Region], owners: np.ndarray) -> Dict[str, np.ndarray]:
    """Returns the four label images of CityScapes.

    Args:
        regions: In drawing order.
        owners: Result of :func:`owner_map`.

    Returns:
        'labelIds' and 'labelTrainIds' (uint8), 'instanceIds' (uint16), 'color' (uint8, red green
        blue alpha).
    """
    classes = [name2label['unlabeled'], *(name2label[region.label] for region in regions)]
    instances = [classes[0].id]
    seen: Dict[str, int] = {}
    for label, region in zip(classes[1:], regions):
        if label.hasInstances and not region.group:
            number = seen.get(label.name, 0)
            seen[label.name] = number + 1
            instances.append(label.id * 1000 + number)
        else:
            instances.append(label.id)
    return {
        'labelIds': np.array([label.id for label in classes], np.uint8)[owners],
        'labelTrainIds': np.array([label.trainId for label in classes], np.uint8)[owners],
        'instanceIds': np.array(instances, np.uint16)[owners],
        'color': np.array([(*label.color, 255) for label in classes], np.uint8)[owners],
    }


def polygon_file(regions: Sequence[Region], size: Tuple[int, int]) -> Dict[str, Any]:
    """Returns the content of a ``*_gtFine_polygons.json``. Groups have the suffix 'group'."""
    objects = [
        {
            'label': region.label + ('group' if region.group else ''),
            'polygon': region.polygon.tolist(),
        }
        for region in regions
    ]
    return {'imgHeight': size[1], 'imgWidth': size[0], 'objects': objects}


def coco_entries(regions: Sequence[Region], owners: np.ndarray) -> List[Dict[str, Any]]:
    """Returns COCO annotations of the visible regions, without ``id`` and ``image_id``.

    Regions that are hardly visible are left out: with less than a fifth of the area inside their
    outline, less than 0.04 % of the picture, or a side below 1 / 128 of the picture's width. Groups
    are crowds.

    Args:
        regions: In drawing order.
        owners: Result of :func:`owner_map`.
    """
    height, width = owners.shape
    entries = []
    for number, region in enumerate(regions, start=1):
        if region.label not in COCO_CATEGORIES:
            continue
        x0, y0 = np.maximum(region.polygon.min(0), 0)
        x1, y1 = region.polygon.max(0) + 1
        window = owners[y0:y1, x0:x1] == number
        area = int(window.sum())
        outline_area = cv2.contourArea(region.polygon.astype(np.int32))
        if area < max(4e-4 * width * height, 0.2 * outline_area):
            continue
        columns, rows = np.flatnonzero(window.any(0)), np.flatnonzero(window.any(1))
        box = (x0 + columns[0], y0 + rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        if min(box[2:]) < width / 128:
            continue
        mask = np.zeros((height, width), np.uint8, order='F')
        mask[y0:y1, x0:x1] = window
        run_lengths = coco_mask.encode(mask)
        entries.append(
            {
                'category_id': COCO_CATEGORIES.index(region.label) + 1,
                'bbox': [int(value) for value in box],
                'area': area,
                'segmentation': {
                    'size': [height, width],
                    'counts': run_lengths['counts'].decode('ascii'),
                },
                'iscrowd': int(region.group),
            }
        )
    return entries
