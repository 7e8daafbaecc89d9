"""Photographs that are turned when they are read, and pictures of another size than their annotations say.

A camera that is held upright stores the picture on its side and says so in its EXIF data. OpenCV turns it when it reads it; many
annotation tools do not, and their boxes and label maps belong to the picture as it is stored.
"""

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, TypeVar

from PIL import Image

from .notices import warn

NUMBER = 1000
"""Pictures to look at: only the head of each is read, a tenth of a second for all of them from a disk."""

_ORIENTATION = 0x0112  # EXIF's number of the entry; 1 is upright, 5 to 8 are on their side
T = TypeVar('T')


class Picture(NamedTuple):
    """A picture and the size that its annotations are for.

    Attributes:
        path (str): The file.
        width (int): Its width by the annotations, in pixels.
        height (int): Its height by the annotations.
        source (str): Where the annotations are.
    """

    path: str
    width: int
    height: int
    source: str


def sample(items: Sequence[T], number: int) -> List[T]:
    """At most ``number`` items, evenly over all of them."""
    if len(items) <= number:
        return list(items)
    return [items[index * len(items) // number] for index in range(number)]


def warn_of_turned(key: str, pictures: Sequence[Picture], annotations: str, pipeline: Any) -> None:
    """Warn when annotations were drawn on pictures as they are stored and the pipeline turns them, or the other way round.

    Args:
        key (str): Config key of the dataset.
        pictures (Sequence[Picture]): Pictures to look at.
        annotations (str): What belongs to them: ``'boxes'`` or ``'labels'``.
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
            # A square, or a picture that stands on its head, is of the same size either way.
            if turns and orientation not in (0, 1) and (width == height or not on_its_side):
                unclear.append((picture, orientation))
        elif on_its_side and told == loaded[::-1]:
            turned.append((picture, orientation, loaded))
        else:
            other.append((picture, loaded))
    if turned:
        picture, orientation, loaded = turned[0]
        remedy = (
            "Set color_type='color_ignore_orientation' in LoadImageFromFile of every pipeline, or save the pictures upright"
            if turns
            else 'Leave color_type out of LoadImageFromFile, so that pictures are turned, or save them upright'
        )
        warn(
            f'{key}: {len(turned)} of {looked_at} pictures looked at are stored on their side (EXIF), and their {annotations} '
            f'do not fit: {picture.path} (orientation {orientation}) is {loaded[0]}x{loaded[1]} as the pipeline reads it, but '
            f'{picture.width}x{picture.height} in {picture.source}. {remedy}.'
        )
    if unclear:
        picture, orientation = unclear[0]
        warn(
            f'{key}: {len(unclear)} of {looked_at} pictures looked at are turned when they are read (EXIF), and their size does '
            f'not tell whether their {annotations} are: {picture.path} (orientation {orientation}). Look at one of them; if they '
            f"do not fit, set color_type='color_ignore_orientation' in LoadImageFromFile of every pipeline."
        )
    if other:
        picture, loaded = other[0]
        warn(
            f'{key}: {len(other)} of {looked_at} pictures looked at have another size than their {annotations}: '
            f'{picture.path} is {loaded[0]}x{loaded[1]}, but {picture.width}x{picture.height} in {picture.source}. '
            f'{annotations.capitalize()} of a picture that was made smaller or larger do not fit it: take the original pictures.'
        )


def turns_pictures(pipeline: Any) -> bool:
    """Whether the pipeline's ``LoadImageFromFile`` turns pictures as EXIF says: mmcv's default."""
    for step in steps_of(pipeline):
        if str(step.get('type')).rsplit('.', 1)[-1] == 'LoadImageFromFile':
            kind = step.get('color_type', 'color')
            return kind in ('color', 'grayscale') and step.get('imdecode_backend', 'cv2') in (
                'cv2',
                'pillow',
            )
    return True


def steps_of(pipeline: Any) -> Iterator[Dict[str, Any]]:
    """The steps of a pipeline, and those inside steps that hold some (TestTimeAug, RandomChoice)."""
    for step in pipeline or ():
        if isinstance(step, dict):
            yield step
            yield from steps_of(step.get('transforms'))
        elif isinstance(step, (list, tuple)):
            yield from steps_of(step)


def _head(path: str) -> Optional[tuple]:
    """Width and height as stored, and EXIF's orientation; None for what Pillow cannot read, which the loader will tell."""
    try:
        with Image.open(path) as image:
            return (*image.size, image.getexif().get(_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
