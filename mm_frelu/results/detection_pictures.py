"""Images for detection, with their annotations if there are any."""

from pathlib import Path
from typing import Dict, Hashable, List, NamedTuple, Optional, Sequence, Tuple

from mm_frelu.engine.errors import UserError
from mm_frelu.evaluation.boxes import TrueBoxes
from mm_frelu.visualization.image_files import ImageFile, different_names

from .detection_set import DetectionSet


class Picture(NamedTuple):
    """An image.

    Attributes:
        key: Its id in the test set, or its path if it is not from a test set.
        path: The file.
        name: Path of the output picture relative to the output folder, without suffix.
        truth: Its annotations, or None.
        size: Width and height according to the annotations, or None.
    """

    key: Hashable
    path: Path
    name: Path
    truth: Optional[TrueBoxes] = None
    size: Optional[Tuple[int, int]] = None

    def check_size(self, found: Sequence[int]) -> None:
        """Reject an image whose size differs from that in its annotations.

        Args:
            found: Width and height of the image.

        Raises:
            UserError: If the sizes differ.
        """
        if self.size is None or tuple(found) == tuple(self.size):
            return
        own, expected = ('x'.join(map(str, sides)) for sides in (found, self.size))
        raise UserError(
            f'{self.path} is {own} (upright, as its EXIF data say), but its annotations are for {expected}, so boxes would be '
            'misplaced. Correct width and height in the annotations, or save the image in that size.'
        )


def pictures_of_set(test_set: DetectionSet) -> List[Picture]:
    """Return all images of a test set."""
    files = [ImageFile(image.path, Path(image.path.name)) for image in test_set.images.values()]
    names = different_names([file.key for file in files])
    return [
        Picture(key, image.path, name, image.truth, image.size)
        for (key, image), name in zip(test_set.images.items(), names)
    ]


def pictures_of_files(
    images: Sequence[ImageFile], annotations: Optional[DetectionSet]
) -> List[Picture]:
    """Return the images of a command line, with their annotations.

    Args:
        images: The files.
        annotations: The annotations, or None. An image is found there by its file name. If several images have the same name,
            their folders are compared as well.

    Raises:
        UserError: If an image is not in the annotations, or is there more than once.
    """
    names = different_names([image.key for image in images])
    if annotations is None:
        return [Picture(image.path, image.path, name) for image, name in zip(images, names)]
    by_name: Dict[str, List[Hashable]] = {}
    for key, entry in annotations.images.items():
        by_name.setdefault(entry.path.name, []).append(key)
    pictures = []
    for image, name in zip(images, names):
        keys = by_name.get(image.path.name, [])
        if len(keys) > 1:
            keys = [
                key
                for key in keys
                if image.path.absolute()
                .as_posix()
                .endswith(f'/{annotations.images[key].path.as_posix()}')
            ]
        if len(keys) != 1:
            raise UserError(
                f'{annotations.name} has {len(keys) or "no"} images with the name {image.path.name}; expected one for '
                f'{image.path}. Give the annotations of these images, or omit this image.'
            )
        entry = annotations.images[keys[0]]
        pictures.append(Picture(keys[0], image.path, name, entry.truth, entry.size))
    return pictures
