"""Find the images to draw and their label files, and read both."""

import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from mm_frelu.datasets.check_paths import IMAGE_SUFFIXES
from mm_frelu.datasets.label_files import Renumbering, check_label_file
from mm_frelu.engine.errors import UserError, listed

_CITYSCAPES_IMAGE = '_leftImg8bit'
_CITYSCAPES_LABELS = '_gtFine_labelTrainIds.png'
_CITYSCAPES_OTHERS = ('_gtFine_', '_gtCoarse_')


class ImageFile(NamedTuple):
    """An image file and its path inside the searched folder.

    Attributes:
        path: The file.
        relative: Its path relative to the searched folder; only the name for a file that was given directly.
    """

    path: Path
    relative: Path

    @property
    def key(self) -> Path:
        """The relative path without suffix and without CityScapes' ``_leftImg8bit``."""
        name = self.relative.stem
        if name.endswith(_CITYSCAPES_IMAGE):
            name = name[: -len(_CITYSCAPES_IMAGE)]
        return self.relative.with_name(name)


def find_images(paths: Sequence[str], leave_out: Optional[Path] = None) -> List[ImageFile]:
    """Lists the given files, and the images in the given folders and their subfolders.

    Files named like CityScapes' label maps are skipped.

    Args:
        paths: Files and folders.
        leave_out: A folder that is not searched, such as the output folder.

    Returns:
        The images in the order of ``paths``, sorted within a folder, without duplicates.

    Raises:
        UserError: If a path does not exist, or a folder has no image.
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
                f'--images {path}: this folder and its subfolders have no image; looked for '
                f'{", ".join("*" + suffix for suffix in IMAGE_SUFFIXES)}.'
            )
        for file in inside:
            found.setdefault(file.absolute(), ImageFile(file, file.relative_to(path)))
    return list(found.values())


def different_names(names: Sequence[Path]) -> List[Path]:
    """Returns a different name for each. Equal ones get a number: ``city/1``, ``city/1_2``."""
    found: Dict[Path, None] = {}
    for name in names:
        new, number = name, 2
        while new in found:
            new = name.with_name(f'{name.name}_{number}')
            number += 1
        found[new] = None
    return list(found)


def with_ending(name: Path, ending: str) -> Path:
    """Appends an ending such as ``.png`` to a name. A dot in the name is kept."""
    return name.with_name(name.name + ending)


def targets_of(images: Sequence[ImageFile], out: Path, ending: str) -> Dict[Path, Path]:
    """Returns an output file for each image, by its path: in the image's subfolder of ``out``, with a different name for each."""
    names = different_names([image.key for image in images])
    return {image.path: with_ending(out / name, ending) for image, name in zip(images, names)}


class LabelFolder:
    """A folder of label maps, including its subfolders.

    The label map of CityScapes' ``X_leftImg8bit.png`` is ``X_gtFine_labelTrainIds.png``. The label map of any other image has the
    same name and may have another suffix. It is looked up at the same relative path first, then anywhere in the folder.

    Args:
        folder: The folder.

    Raises:
        UserError: If the folder does not exist or has no label map.
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
            raise UserError(
                f'--gt {folder}: the folder has no label maps (PNG files).{self._hint()}'
            )

    def find(self, image: ImageFile) -> Path:
        """Returns the label map of an image.

        Raises:
            UserError: If there is none, or several files have that name.
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
                'for example. Use the same subfolders in --images and --gt.'
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
            ' It has the labelIds of the CityScapes download; create the train ids from them with '
            'CITYSCAPES_DATASET=<data_root> csCreateTrainIdLabelImgs.'
        )


def read_image(path: Path, loader: Optional[Dict[str, Any]] = None) -> np.ndarray:
    """Reads an image with the loading step of a model's pipeline.

    Args:
        path: The file.
        loader: The first step of the pipeline, with its ``_scope_``; if None, mmcv's ``LoadImageFromFile`` with defaults, which
            applies the EXIF orientation.

    Returns:
        Array (H, W, C), or (H, W) if the step returns that. The first three channels are blue, green, red.

    Raises:
        UserError: If the file is not an image or is damaged.
    """
    from mmcv.transforms import TRANSFORMS, LoadImageFromFile

    step = TRANSFORMS.build(loader or dict(type=LoadImageFromFile))
    try:
        return step(dict(img_path=str(path)))['img']
    except Exception as error:  # each decoder raises its own types
        raise UserError(f'{path} cannot be read as an image ({error}).') from None


def as_picture(image: np.ndarray) -> np.ndarray:
    """Converts an image of :func:`read_image` for display.

    Args:
        image: Array (H, W) or (H, W, C).

    Returns:
        RGB ``uint8`` array (H, W, 3). A single channel is repeated; of four or more channels the first three are used. Values
        above 8 bits are scaled so that the largest one is white.
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
    renumbering: Optional[Renumbering] = None,
) -> np.ndarray:
    """Reads a label map like the dataset of a model does, and checks it.

    Args:
        path: A file with one channel of class ids. A palette in it is ignored.
        size: Width and height of the image.
        num_classes: Number of classes.
        ignore_index: The label that means "not labelled".
        renumbering: The dataset's mapping from ids in the file to class ids; None if they are the same.

    Returns:
        Integer array (H, W).

    Raises:
        UserError: If the file is unreadable, a colour image or of another size, or has ids that are not classes.
    """
    check_label_file(str(path))
    try:
        labels = (renumbering or Renumbering()).load(path).astype(np.int64)
    except Exception as error:  # each decoder raises its own types
        raise UserError(f'{path} cannot be read as an image ({error}).') from None
    if labels.ndim < 2 and labels.size == size[0] * size[1]:
        labels = labels.reshape(size[::-1])  # mmseg squeezes a side of one pixel
    if labels.shape != tuple(size[::-1]):
        found = 'x'.join(str(side) for side in labels.shape[::-1])
        hint = ''
        if labels.shape == tuple(size):
            hint = ' If the image has an EXIF orientation, rotate its label map in the same way.'
        raise UserError(
            f'{path} is {found}, its image {size[0]}x{size[1]}; they must have the same size.{hint}'
        )
    ids = np.unique(labels)
    outside = ids[(ids >= num_classes) & (ids != ignore_index)].tolist()
    if outside:
        raise UserError(
            f'{path} has labels that are not classes: {listed(outside, 6)}. Expected 0 to {num_classes - 1}, or {ignore_index} '
            'for "not labelled". Check that they are the right ids (CityScapes: labelTrainIds, not labelIds).'
        )
    return labels


def files_below(folder: Path) -> List[Path]:
    """Returns the files in a folder and its subfolders, sorted. Links to folders are followed, like in datasets.

    A link to a parent folder is not followed.
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
