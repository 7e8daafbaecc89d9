"""A whole data set of posed people in one folder, in COCO's layout."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ..drawn_set import DrawnSet, check_numbers
from ..street_scenes.scene import SPLITS
from .picture import Person, draw_picture
from .skeleton import KEYPOINTS, SKELETON

DRAWING = 1
"""Goes up when the same seed draws other pictures: an older set is then not taken for a new one."""

PARAMETER_FILE = 'posed_people.json'
_SET = DrawnSet('posed people', PARAMETER_FILE, ('train', 'val', 'annotations'))
_FEWEST_SEEN = 5
"""Somebody of whom fewer keypoints are seen gets a box but no keypoints, as small people in COCO."""


def generate_posed_people(
    out_dir: Union[str, Path],
    train: int = 480,
    val: int = 80,
    size: Tuple[int, int] = (256, 224),
    seed: int = 0,
    on_picture: Optional[Callable[[int, int], None]] = None,
) -> bool:
    """Draws people in poses and writes them as COCO writes its keypoints.

    ``out_dir`` gets ``train/``, ``val/``, ``annotations/person_keypoints_{train,val}.json`` and ``posed_people.json`` with
    the parameters. The same arguments give the same bytes. The set is written into a temporary, hidden folder and moved to
    its place when it is complete.

    Args:
        out_dir: Folder of the data set. It may hold an older set of this function, which is then replaced.
        train: Number of pictures to train on.
        val: Number of pictures to evaluate on.
        size: Width and height in pixels.
        seed: Seed of the set, 0 or more.
        on_picture: Called with (pictures done, pictures in all) after each picture.

    Returns:
        True if pictures were drawn, False if ``out_dir`` held this very set already.

    Raises:
        ValueError: If a count, the size or the seed makes no sense.
        FileExistsError: If ``out_dir`` holds anything that is not a set of this function.
    """
    check_numbers(dict(train=train, val=val), size, seed, 'pictures', smallest=(96, 96))
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
                name = f'{number:012d}.png'  # as COCO numbers its pictures
                cv2.imwrite(str(folder / split / name), picture.image[..., ::-1])
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
    """The COCO annotation of somebody, without ``id`` and ``image_id``; None where next to nothing is seen.

    Box, area and mask are those of what is seen.
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
