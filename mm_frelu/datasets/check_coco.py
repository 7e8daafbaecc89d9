"""Check a detection dataset in COCO format: the annotation file, its categories and its images.

If mmdet does not know the categories of a file, it loads it without an error and trains on no boxes at all. It also numbers the classes
in the order of the file. Another order in the config gives every box a wrong name.
"""

import os
from typing import Any, Dict, List, NamedTuple

from mm_frelu.engine.errors import UserError

from .check_coco_classes import check_classes
from .check_coco_entries import check_entries
from .check_paths import absent_files, image_prefix, join, require_file, require_folder
from .check_pictures import NUMBER, Picture, sample, warn_of_turned
from .coco_counts import count_coco
from .coco_file import read_coco
from .coco_ids import check_ids, listed_under_several_ids
from .notices import tell, warn


def check_coco(key: str, settings: Dict[str, Any]) -> Dict[Any, str]:
    """Check the paths, the annotation file and the classes of a dataset derived from mmdet's ``CocoDataset``.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config, with defaults filled in.

    Returns:
        Dict[Any, str]: File names of the images, by image id.

    Raises:
        UserError: For the first problem found.
    """
    # pycocotools reads it in the evaluation only.
    listed = list_images(key, settings, need_iscrowd=not key.startswith('train_'))
    data, images, ann_file = listed.data, listed.images, listed.ann_file
    # A test set may have no annotations, because its predictions may only be written (format_only).
    validates = key.startswith('val_')
    must_have_boxes = validates or not settings.get('test_mode')
    counts = count_coco(data, settings)
    if not counts.usable and must_have_boxes:
        purpose = 'compare with' if validates else 'learn'
        raise UserError(
            f'{key}.ann_file: {ann_file} {counts.why_unusable()}, so there is nothing to {purpose}.'
        )
    if not counts.usable:
        warn(
            f'{key}.ann_file: {ann_file} {counts.why_unusable()}: predictions can be written, but every score will be '
            '-1. Set test_evaluator.format_only=True to skip the scores.'
        )
    check_classes(
        key, ann_file, data['categories'], counts.usable, settings.get('classes'), must_have_boxes
    )
    tell(f'{key}: {ann_file}: {counts.line()}.')
    if counts.warning():
        warn(f'{key}: {ann_file}: {counts.warning()}. Check that annotation.')
    twice = listed_under_several_ids(data)
    if twice:
        warn(f'{key}: {ann_file}: {twice}')
    warn_of_turned(key, listed.pictures(), 'boxes', settings.get('pipeline'))
    return images


class Listed(NamedTuple):
    """An annotation file and the images that it names.

    Attributes:
        ann_file (str): The file.
        data (Dict[str, list]): What is in it.
        images (Dict[Any, str]): File names by id.
        img_dir (str): The folder that they start from.
    """

    ann_file: str
    data: Dict[str, List[Any]]
    images: Dict[Any, str]
    img_dir: str

    def pictures(self) -> List[Picture]:
        """Return a sample of the images."""
        return [
            Picture(
                join(self.img_dir, image['file_name']),
                image['width'],
                image['height'],
                self.ann_file,
            )
            for image in sample(self.data['images'], NUMBER)
        ]


def list_images(key: str, settings: Dict[str, Any], need_iscrowd: bool) -> Listed:
    """Read the annotation file of a dataset in COCO format and look for its images.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config, with defaults filled in.
        need_iscrowd (bool): Whether every annotation must have ``iscrowd``.

    Raises:
        UserError: When a path does not exist, the file is not as it should be, or images are missing.
    """
    root = settings.get('data_root')
    prefix = image_prefix(key, settings, 'img')['img']
    ann_file = join(root, settings.get('ann_file'))
    if root:
        content = f'{settings.get("ann_file")} and the images in {prefix or "."}'
        require_folder(f'{key}.data_root', root, content)
    require_file(f'{key}.ann_file', ann_file, 'annotations in COCO format (.json)')
    data = read_checked(f'{key}.ann_file: {ann_file}', ann_file, need_iscrowd)

    img_dir = join(root, prefix)
    require_folder(f'{key}.data_prefix.img', img_dir, 'the images that the annotation file names')
    images = names_by_id(data)
    absent = absent_files(img_dir, images.values())
    if absent:
        raise UserError(
            f'{key}.data_prefix.img: {len(absent)} of the {len(images)} images do not exist; the '
            f'first is {join(img_dir, absent[0])} ({os.path.abspath(join(img_dir, absent[0]))}), named in {ann_file}. '
            f'Give the folder that file_name in the annotations is relative to.'
        )
    return Listed(ann_file, data, images, img_dir)


def read_checked(where: str, path: str, need_iscrowd: bool) -> Dict[str, List[Any]]:
    """Read and check an annotation file, without a dataset config.

    Args:
        where (str): Start of an error message: config key and file.
        path (str): The annotation file.
        need_iscrowd (bool): Whether every annotation must have ``iscrowd``.

    Returns:
        Dict[str, list]: The content of the file; without polygons if it is large.

    Raises:
        UserError: When the file is empty, is not JSON or not COCO, or has no images; when an entry lacks a key; or when two
            entries have the same id.
    """
    data = read_coco(where, path)
    check_entries(where, data, need_iscrowd)
    check_ids(where, data)
    return data


def names_by_id(data: Dict[str, List[Any]]) -> Dict[Any, str]:
    """Return the file names of the images, by image id."""
    return {image['id']: image['file_name'] for image in data['images']}
