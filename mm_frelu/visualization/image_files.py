"""Finding the images to draw, the label file of each, and reading both."""

import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

import numpy as np

from mm_frelu.datasets.check_paths import IMAGE_SUFFIXES
from mm_frelu.datasets.label_files import Renumbering, check_label_file
from mm_frelu.engine.errors import UserError

_CITYSCAPES_IMAGE = '_leftImg8bit'
_CITYSCAPES_LABELS = '_gtFine_labelTrainIds.png'
_CITYSCAPES_OTHERS = ('_gtFine_', '_gtCoarse_')


class ImageFile(NamedTuple):
    """An image and where it was found.

    Attributes:
        path: The file.
        relative: Its path below the folder that was searched; the bare name for a file that was named itself.
    """

    path: Path
    relative: Path

    @property
    def key(self) -> Path:
        """The relative path without suffix, and without what CityScapes adds to the names of images."""
        name = self.relative.stem
        if name.endswith(_CITYSCAPES_IMAGE):
            name = name[: -len(_CITYSCAPES_IMAGE)]
        return self.relative.with_name(name)


def find_images(paths: Sequence[str], leave_out: Optional[Path] = None) -> List[ImageFile]:
    """Lists the named files, and the images in the named folders and the folders below them.

    Label maps in CityScapes' naming are not images.

    Args:
        paths: Files and folders.
        leave_out: A folder that is not searched; the one that is written to.

    Returns:
        The images, in the order of ``paths``, sorted within a folder; none twice.

    Raises:
        UserError: A path that does not exist, or a folder without an image.
    """
    found: Dict[Path, ImageFile] = {}
    for path in map(Path, paths):
        if path.is_file():
            found.setdefault(path.absolute(), ImageFile(path, Path(path.name)))
            continue
        if not path.is_dir():
            raise UserError(
                f'--images {path}: there is no such file or folder (looked for {path.absolute()}).'
            )
        inside = [
            file
            for file in files_below(path)
            if file.suffix.lower() in IMAGE_SUFFIXES
            and file.is_file()
            and not any(part in file.name for part in _CITYSCAPES_OTHERS)
            and not (leave_out and leave_out.resolve() in file.resolve().parents)
        ]
        if not inside:
            raise UserError(
                f'--images {path}: neither this folder nor those below it hold an image; looked for '
                f'{", ".join("*" + suffix for suffix in IMAGE_SUFFIXES)}.'
            )
        for file in inside:
            found.setdefault(file.absolute(), ImageFile(file, file.relative_to(path)))
    return list(found.values())


class LabelFolder:
    """A folder of label maps, searched with the folders below it.

    CityScapes' ``X_leftImg8bit.png`` belongs to ``X_gtFine_labelTrainIds.png``. Any other image belongs to the file of the same
    name with another suffix, first at the same place below the folder, then anywhere in it.

    Args:
        folder: The folder.

    Raises:
        UserError: The folder does not exist or holds no label map.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(
                f'--gt {folder}: there is no such folder (looked for {self.folder.absolute()}).'
            )
        self._by_key: Dict[Path, Path] = {}
        self._by_name: Dict[str, List[Path]] = {}
        suffixes = ('.png', '.tif', '.tiff', '.bmp')
        self._names: Set[str] = set()
        for file in files_below(self.folder):
            name = file.name
            self._names.add(name)
            if name.endswith(_CITYSCAPES_LABELS):
                name = name[: -len(_CITYSCAPES_LABELS)]
            elif file.suffix.lower() in suffixes and not any(
                part in name for part in _CITYSCAPES_OTHERS
            ):
                name = file.stem
            else:
                continue
            self._by_key[file.relative_to(self.folder).with_name(name)] = file
            self._by_name.setdefault(name, []).append(file)
        if not self._by_key:
            raise UserError(f'--gt {folder}: no label maps (PNG files) in it.{self._hint()}')

    def find(self, image: ImageFile) -> Path:
        """The label map of an image.

        Raises:
            UserError: There is none, or there are several of that name.
        """
        key = image.key
        if key in self._by_key:
            return self._by_key[key]
        candidates = self._by_name.get(key.name, [])
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise UserError(
                f'{image.path}: {len(candidates)} label maps could belong to it, {candidates[0]} and {candidates[1]} '
                'for example. Give --images and --gt the same folders inside.'
            )
        cityscapes = image.path.stem.endswith(_CITYSCAPES_IMAGE)
        expected = f'{key.name}{_CITYSCAPES_LABELS}' if cityscapes else f'{key.name}.png'
        raise UserError(
            f'{image.path}: no label map in {self.folder}; expected {expected}.{self._hint()}'
        )

    def _hint(self) -> str:
        if any(name.endswith(_CITYSCAPES_LABELS) for name in self._names) or not any(
            name.endswith('_gtFine_labelIds.png') for name in self._names
        ):
            return ''
        return (
            ' There are the labelIds that CityScapes ships; make the train ids from them with '
            'CITYSCAPES_DATASET=<data_root> csCreateTrainIdLabelImgs.'
        )


def read_image(path: Path, loader: Optional[Dict[str, Any]] = None) -> np.ndarray:
    """Reads an image as the pipeline of a model does, for it to predict on.

    Args:
        path: The file.
        loader: The first step of the pipeline; ``LoadImageFromFile`` without settings if None, which turns photographs upright.

    Returns:
        Array (H, W, C), or (H, W) where the step gives that; the first three channels are blue, green, red.

    Raises:
        UserError: The file is no image or is damaged.
    """
    import mmseg.datasets  # noqa: F401  (registers its loaders)
    from mmseg.registry import TRANSFORMS

    step = TRANSFORMS.build({'_scope_': 'mmseg', **(loader or dict(type='LoadImageFromFile'))})
    try:
        return step(dict(img_path=str(path)))['img']
    except Exception as error:  # each decoder has its own
        raise UserError(f'{path} cannot be read as an image ({error}).') from None


def as_picture(image: np.ndarray) -> np.ndarray:
    """An image of :func:`read_image` to look at.

    Args:
        image: Array (H, W) or (H, W, C).

    Returns:
        RGB ``uint8`` array (H, W, 3). One channel is shown three times; of four or more the first three are shown; of numbers
        beyond 8 bits the largest becomes white.
    """
    if image.ndim == 2:
        image = image[..., None]
    image = image[..., 2::-1] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
        peak = image.max(initial=0)
        scale = 255 / peak if peak > 255 or 0 < peak <= 1 else 1
        image = np.clip(image * scale, 0, 255).round().astype(np.uint8)
    return np.ascontiguousarray(image)


def read_labels(
    path: Path,
    size: Tuple[int, int],
    num_classes: int,
    ignore_index: int = 255,
    reduce_zero_label: Union[bool, Renumbering] = False,
) -> np.ndarray:
    """Reads a label map as the dataset of a model does, and checks it.

    Args:
        path: A file with one channel of class numbers; a palette in it is not looked at.
        size: Width and height of the image.
        num_classes: Number of classes.
        ignore_index: The label that stands for "not labelled".
        reduce_zero_label: Whether 0 in the file means "not labelled" and 1 the first class; or all that the dataset makes of
            the ids in its files.

    Returns:
        Integer array (H, W).

    Raises:
        UserError: Unreadable, in colours, of another size, or with numbers that belong to no class.
    """
    check_label_file(str(path))
    if not isinstance(reduce_zero_label, Renumbering):
        reduce_zero_label = Renumbering(reduce_zero_label)
    try:
        labels = reduce_zero_label.load(path).astype(np.int64)
    except Exception as error:  # each decoder has its own
        raise UserError(f'{path} cannot be read as an image ({error}).') from None
    if labels.ndim < 2 and labels.size == size[0] * size[1]:
        labels = labels.reshape(size[::-1])  # mmseg drops a side of one pixel
    if labels.shape != tuple(size[::-1]):
        found = 'x'.join(str(side) for side in labels.shape[::-1])
        hint = ''
        if labels.shape == tuple(size):
            hint = (
                ' Did the image have an EXIF tag that turns it? Turn its label map in the same way.'
            )
        raise UserError(
            f'{path} is {found}, its image {size[0]}x{size[1]}; they must have the same size.{hint}'
        )
    ids = np.unique(labels)
    outside = ids[(ids >= num_classes) & (ids != ignore_index)].tolist()
    if outside:
        shown = ', '.join(map(str, outside[:6])) + (', ...' if len(outside) > 6 else '')
        raise UserError(
            f'{path} holds labels that belong to no class: {shown}. Expected 0 to {num_classes - 1}, or {ignore_index} '
            'for "not labelled". Are they ids of another label set (CityScapes: labelIds in place of labelTrainIds)?'
        )
    return labels


def files_below(folder: Path) -> List[Path]:
    """The files in a folder and those below it, sorted. Links to folders are followed, as datasets follow them.

    A folder that a link leads back into is not searched again.
    """
    found: List[Path] = []
    above: Dict[str, Set[str]] = {str(folder): {os.path.realpath(folder)}}
    for place, folders, names in os.walk(folder, followlinks=True):
        found += [Path(place, name) for name in names]
        seen = above.pop(place)
        folders[:] = [
            name for name in folders if os.path.realpath(os.path.join(place, name)) not in seen
        ]
        for name in folders:
            path = os.path.join(place, name)
            above[path] = {*seen, os.path.realpath(path)}
    return sorted(found)
