"""Write an annotation file of the size of COCO's train2017, to measure how long the checks take.

    python tests/coco_sized.py FOLDER [--images 118287] [--boxes 860001]

FOLDER gets annotations.json (with polygons like in COCO, without indentation, about 450 MB) and images/, with one image under all names.
"""

import argparse
import os
import random
from pathlib import Path

from PIL import Image

CATEGORIES = 80


def write(folder: Path, images: int = 118287, boxes: int = 860001, seed: int = 0) -> Path:
    """Write the annotation file and the images; return the path of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = folder / 'images'
    pictures.mkdir(exist_ok=True)
    Image.new('RGB', (640, 480)).save(folder / 'one.jpg')
    names = [f'{number:012d}.jpg' for number in range(images)]
    for index, name in enumerate(names):
        if index % 10000 == 0:  # a file may have some ten thousand hard links
            source = pictures / name
            source.write_bytes((folder / 'one.jpg').read_bytes())
        else:
            os.link(source, pictures / name)
    generator = random.Random(seed)
    # COCO's polygons take some 350 bytes for each box.
    polygon = ', '.join(f'{generator.random() * 400:.2f}' for _ in range(50))
    path = folder / 'annotations.json'
    with path.open('w') as file:
        file.write('{"info": {"description": "generated"}, "licenses": [], "images": [')
        file.write(
            ', '.join(
                f'{{"license": 3, "file_name": "{name}", "coco_url": "http://images.example.org/train2017/{name}", '
                f'"height": 480, "width": 640, "date_captured": "2013-11-14 11:18:45", "id": {index}}}'
                for index, name in enumerate(names)
            )
        )
        file.write('], "annotations": [')
        for index in range(boxes):
            x, y = generator.randrange(500), generator.randrange(400)
            file.write(', ' if index else '')
            file.write(
                f'{{"segmentation": [[{polygon}]], "area": 702.1, "iscrowd": 0, "image_id": {generator.randrange(images)}, '
                f'"bbox": [{x}.51, {y}.25, 120.79, 53.5], "category_id": {index % CATEGORIES + 1}, "id": {index + 1}}}'
            )
        file.write('], "categories": [')
        file.write(
            ', '.join(
                f'{{"supercategory": "thing", "id": {index + 1}, "name": "class {index}"}}'
                for index in range(CATEGORIES)
            )
        )
        file.write(']}')
    return path


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--images', type=int, default=118287)
    parser.add_argument('--boxes', type=int, default=860001)
    args = parser.parse_args()
    print(write(args.folder, args.images, args.boxes))
