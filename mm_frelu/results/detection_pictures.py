"""Images to detect in, each with its annotations where there are any."""

from pathlib import Path
from typing import Dict, Hashable, List, NamedTuple, Optional, Sequence, Tuple

from mm_frelu.datasets.check_paths import IMAGE_SUFFIXES
from mm_frelu.engine.errors import UserError
from mm_frelu.evaluation.boxes import TrueBoxes
from mm_frelu.visualization.image_files import ImageFile

from .detection_set import DetectionSet


class Picture(NamedTuple):
    """An image.

    Attributes:
        key: Its id in the test set; its path where there is none.
        path: The file.
        name: Path of its picture below the output folder, without suffix.
        truth: Its annotations, or None.
        size: Width and height that the annotations are for, or None.
    """

    key: Hashable
    path: Path
    name: Path
    truth: Optional[TrueBoxes] = None
    size: Optional[Tuple[int, int]] = None

    def check_size(self, found: Sequence[int]) -> None:
        """Refuse an image of another size than its annotations are for.

        Args:
            found: Width and height of the image.

        Raises:
            UserError: When they differ.
        """
        if self.size is None or tuple(found) == tuple(self.size):
            return
        own, expected = ('x'.join(map(str, sides)) for sides in (found, self.size))
        raise UserError(
            f'{self.path} is {own} (upright, as its EXIF data say), but its annotations are for {expected}: boxes would lie elsewhere. '
            'Mend width and height in the annotations, or save the image in that size.'
        )


def pictures_of_set(test_set: DetectionSet) -> List[Picture]:
    """All images of a test set."""
    names = _different_names([Path(image.path.name) for image in test_set.images.values()])
    return [
        Picture(key, image.path, name, image.truth, image.size)
        for (key, image), name in zip(test_set.images.items(), names)
    ]


def pictures_of_files(
    images: Sequence[ImageFile], annotations: Optional[DetectionSet]
) -> List[Picture]:
    """The images of a command line, with their annotations.

    Args:
        images: The files.
        annotations: What they are annotated in, or None. An image is found there by its file name; of several with that name, by the
            folders before it.

    Raises:
        UserError: For an image that is not in the annotations, or more than once.
    """
    names = _different_names([image.key for image in images])
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
                f'{annotations.name} has {len(keys) or "no"} images called {image.path.name}; expected one for {image.path}. Give '
                'the annotations of these images, or leave this one out.'
            )
        entry = annotations.images[keys[0]]
        pictures.append(Picture(keys[0], image.path, name, entry.truth, entry.size))
    return pictures


def _different_names(paths: Sequence[Path]) -> List[Path]:
    """A name without suffix for each; a number tells equal ones apart."""
    names: Dict[Path, None] = {}
    for path in paths:
        stem = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
        ending = '_leftImg8bit'
        name = path.with_name(stem[: -len(ending)] if stem.endswith(ending) else stem)
        base, number = name, 2
        while name in names:
            name = base.with_name(f'{base.name}_{number}')
            number += 1
        names[name] = None
    return list(names)
