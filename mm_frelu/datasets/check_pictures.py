"""Warn about images that are rotated when they are read, and about images whose size differs from their annotations.

A camera in portrait orientation stores the image on its side and records the orientation in the EXIF data. OpenCV rotates such an image
when it reads it. Many annotation tools do not, so their boxes and label maps belong to the stored image.
"""

from typing import Any, List, NamedTuple, Optional, Sequence, TypeVar

from PIL import Image

from mm_frelu.engine.config_types import kind_of, steps_of

from .notices import warn

NUMBER = 1000
"""Number of images to check. Only headers are read, which takes a tenth of a second for all of them from a disk."""

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright, 5 to 8 are on their side
T = TypeVar('T')


class Picture(NamedTuple):
    """An image file and its size according to its annotations.

    Attributes:
        path (str): The image file.
        width (int): Width according to the annotations, in pixels.
        height (int): Height according to the annotations, in pixels.
        source (str): File with the annotations.
    """

    path: str
    width: int
    height: int
    source: str


def sample(items: Sequence[T], number: int) -> List[T]:
    """Return at most ``number`` items, evenly spaced."""
    if len(items) <= number:
        return list(items)
    return [items[index * len(items) // number] for index in range(number)]


def warn_of_turned(key: str, pictures: Sequence[Picture], annotations: str, pipeline: Any) -> None:
    """Warn if annotations belong to the stored images and the pipeline rotates them, or the other way round.

    Args:
        key (str): Config key of the dataset.
        pictures (Sequence[Picture]): Images to check.
        annotations (str): Kind of annotations: ``'boxes'`` or ``'labels'``.
        pipeline (Any): The dataset's pipeline.
    """
    turns = turns_pictures(pipeline)
    turned, unclear, other, looked_at = [], [], [], 0
    for picture in pictures:
        head = _head(picture.path)
        if head is None:
            continue
        looked_at += 1
        width, height, orientation = head
        told = (picture.width, picture.height)
        on_its_side = orientation in (5, 6, 7, 8)
        loaded = (height, width) if turns and on_its_side else (width, height)
        if told == loaded:
            # A square image, or one that is upside down, has the same size either way.
            if turns and orientation not in (0, 1) and (width == height or not on_its_side):
                unclear.append((picture, orientation))
        elif on_its_side and told == loaded[::-1]:
            turned.append((picture, orientation, loaded))
        else:
            other.append((picture, loaded))
    if turned:
        picture, orientation, loaded = turned[0]
        remedy = (
            "Set color_type='color_ignore_orientation' in LoadImageFromFile of every pipeline, or save the images upright"
            if turns
            else 'Leave color_type out of LoadImageFromFile, so that images are rotated, or save them upright'
        )
        warn(
            f'{key}: {len(turned)} of {looked_at} checked images are stored on their side (EXIF), and their {annotations} '
            f'do not fit: {picture.path} (orientation {orientation}) is {loaded[0]}x{loaded[1]} as the pipeline reads it, but '
            f'{picture.width}x{picture.height} in {picture.source}. {remedy}.'
        )
    if unclear:
        picture, orientation = unclear[0]
        warn(
            f'{key}: {len(unclear)} of {looked_at} checked images are rotated when they are read (EXIF), and their size does '
            f'not show whether their {annotations} fit: {picture.path} (orientation {orientation}). Look at one of them; if they '
            f"do not fit, set color_type='color_ignore_orientation' in LoadImageFromFile of every pipeline."
        )
    if other:
        picture, loaded = other[0]
        warn(
            f'{key}: {len(other)} of {looked_at} checked images have another size than their {annotations}: '
            f'{picture.path} is {loaded[0]}x{loaded[1]}, but {picture.width}x{picture.height} in {picture.source}. '
            f'{annotations.capitalize()} do not fit an image that was resized: use the original images.'
        )


def turns_pictures(pipeline: Any) -> bool:
    """Whether the pipeline's ``LoadImageFromFile`` rotates images by their EXIF orientation, mmcv's default."""
    for step in steps_of(pipeline):
        if kind_of(step) == 'LoadImageFromFile':
            kind = step.get('color_type', 'color')
            return kind in ('color', 'grayscale') and step.get('imdecode_backend', 'cv2') in (
                'cv2',
                'pillow',
            )
    return True


def _head(path: str) -> Optional[tuple]:
    """Return stored width and height, and EXIF's orientation; None if Pillow cannot read the image, which the loader reports."""
    try:
        with Image.open(path) as image:
            return (*image.size, image.getexif().get(_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
