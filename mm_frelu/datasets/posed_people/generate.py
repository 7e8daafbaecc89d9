"""Generate a dataset of posed people in one folder, in COCO format."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import numpy as np
from pycocotools import mask as coco_mask

from ..drawn_set import DrawnSet, check_numbers
from ..street_scenes.scene import SPLITS
from ..street_scenes.writers import write_png
from .picture import Person, draw_picture
from .skeleton import KEYPOINTS, SKELETON

DRAWING = 1
"""Version of the drawing code. Increase it if the same seed gives other images, so that older datasets are replaced."""

PARAMETER_FILE = 'posed_people.json'
_SET = DrawnSet('posed people', PARAMETER_FILE, ('train', 'val', 'annotations'))
_FEWEST_SEEN = 5
"""A person with fewer visible keypoints has a box but no keypoints, like small people in COCO."""


def generate_posed_people(
    out_dir: Union[str, Path],
    train: int = 480,
    val: int = 80,
    size: Tuple[int, int] = (256, 224),
    seed: int = 0,
    on_picture: Optional[Callable[[int, int], None]] = None,
) -> bool:
    """Draw people in poses, and write the images and their keypoints in COCO format.

    ``out_dir`` gets ``train/``, ``val/``, ``annotations/person_keypoints_{train,val}.json`` and ``posed_people.json`` with
    the parameters. The same arguments give the same bytes. The dataset is written into a temporary, hidden folder and moved
    to its place when it is complete.

    Args:
        out_dir: Folder of the dataset. An older dataset of this function in it is replaced.
        train: Number of images to train on.
        val: Number of images to evaluate on.
        size: Width and height in pixels.
        seed: Seed of the dataset, 0 or more.
        on_picture: Called with (images done, images in all) after each image.

    Returns:
        True if images were drawn, False if ``out_dir`` already has exactly this dataset.

    Raises:
        ValueError: If a count, the size or the seed is out of range.
        FileExistsError: If ``out_dir`` has anything that is not a dataset of this function.
    """
    check_numbers(dict(train=train, val=val), size, seed, 'images', smallest=(96, 96))
    parameters = dict(
        generator='mm_frelu posed people',
        drawing=DRAWING,
        train=train,
        val=val,
        size=list(size),
        seed=seed,
    )

    def draw(folder: Path) -> None:
        (folder / 'annotations').mkdir()
        done = 0
        for split, count in zip(SPLITS, (train, val)):
            (folder / split).mkdir()
            images: List[Dict[str, Any]] = []
            annotations: List[Dict[str, Any]] = []
            for number in range(1, count + 1):
                picture = draw_picture((size[0], size[1]), seed, split, number - 1)
                name = f'{number:012d}.png'  # as in COCO
                write_png(folder / split / name, picture.image[..., ::-1])
                images.append(dict(id=number, file_name=name, width=size[0], height=size[1]))
                for person in picture.people:
                    entry = coco_entry(person)
                    if entry is not None:
                        annotations.append(dict(id=len(annotations) + 1, image_id=number, **entry))
                done += 1
                if on_picture is not None:
                    on_picture(done, train + val)
            content = dict(
                info=dict(description='Posed people drawn by mm_frelu', version='1.0'),
                licenses=[],
                images=images,
                annotations=annotations,
                categories=[
                    dict(
                        id=1,
                        name='person',
                        supercategory='person',
                        keypoints=list(KEYPOINTS),
                        skeleton=[list(pair) for pair in SKELETON],
                    )
                ],
            )
            file = folder / 'annotations' / f'person_keypoints_{split}.json'
            file.write_text(json.dumps(content))

    return _SET.write(Path(out_dir), parameters, draw)


def coco_entry(person: Person) -> Optional[Dict[str, Any]]:
    """Return the COCO annotation of a person, without ``id`` and ``image_id``; None if the visible part is too small.

    Box, area and mask are those of the visible part.
    """
    area = int(person.mask.sum())
    if area < 4e-3 * person.mask.size:
        return None
    columns, rows = np.flatnonzero(person.mask.any(0)), np.flatnonzero(person.mask.any(1))
    keypoints = person.keypoints
    if (keypoints[:, 2] == 2).sum() < _FEWEST_SEEN:
        keypoints = np.zeros_like(keypoints)
    run_lengths = coco_mask.encode(np.asfortranarray(person.mask, dtype=np.uint8))
    return {
        'category_id': 1,
        'bbox': [
            int(columns[0]),
            int(rows[0]),
            int(columns[-1] - columns[0] + 1),
            int(rows[-1] - rows[0] + 1),
        ],
        'area': area,
        'segmentation': {
            'size': list(person.mask.shape),
            'counts': run_lengths['counts'].decode('ascii'),
        },
        'iscrowd': 0,
        'keypoints': [
            value
            for x, y, visible in keypoints.tolist()
            for value in (round(x, 1), round(y, 1), int(visible))
        ],
        'num_keypoints': int((keypoints[:, 2] > 0).sum()),
    }
