"""An image with the predictions of several models, checked, and the part of it to show."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .crop import Box, difference_density, find_crop

Crop = Union[None, str, Box, Tuple[int, int, int, int]]

_LARGEST = 4096

NOTHING_TO_CROP_TO = 'No difference to crop to: this is the whole image.'


class Scene(NamedTuple):
    """An image, label maps, and the part of them to show.

    Attributes:
        image: RGB ``uint8`` array (H, W, 3).
        predictions: Class ids (H, W) by model.
        ground_truth: Class ids (H, W), or None.
        box: The part to show.
        note: Note on the choice of that part; may be empty.
    """

    image: np.ndarray
    predictions: Dict[str, np.ndarray]
    ground_truth: Optional[np.ndarray]
    box: Box
    note: str

    @property
    def size(self) -> Tuple[int, int]:
        """Width and height of the image."""
        return self.image.shape[1::-1]

    @property
    def is_cropped(self) -> bool:
        """Whether only a part is shown."""
        return (self.box.width, self.box.height) != self.size

    def shown_maps(self) -> List[np.ndarray]:
        """Returns the shown parts of all label maps: predictions first, then ground truth."""
        maps = [*self.predictions.values()]
        if self.ground_truth is not None:
            maps.append(self.ground_truth)
        return [self.box.cut(labels) for labels in maps]


def make_scene(
    image: np.ndarray,
    predictions: Dict[str, np.ndarray],
    ground_truth: Optional[np.ndarray],
    num_classes: int,
    crop: Crop = None,
    ignore_index: int = 255,
) -> Scene:
    """Checks an image with its label maps, and chooses the part to show.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        predictions: Class ids of each model, an integer array (H, W), by name of the model.
        ground_truth: Class ids or ``ignore_index``, an integer array (H, W); or None.
        num_classes: Number of classes.
        crop: None for the whole image, ``'auto'``, or ``(x, y, width, height)`` in pixels.
        ignore_index: The label that means "not labelled".

    Returns:
        The scene.

    Raises:
        ValueError: If sizes differ, a class id is out of range, or the crop extends beyond the image.
    """
    _check(image, predictions, ground_truth, num_classes, ignore_index)
    box, note = _choose_box(crop, list(predictions.values()), ground_truth, image, ignore_index)
    return Scene(image, predictions, ground_truth, box, note)


def _check(
    image: np.ndarray,
    predictions: Dict[str, np.ndarray],
    ground_truth: Optional[np.ndarray],
    num_classes: int,
    ignore_index: int,
) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f'The image must be a uint8 array of shape (H, W, 3); found {image.dtype} {image.shape}.'
        )
    if not predictions:
        raise ValueError('There is nothing to compare: predictions is empty.')
    maps = {f'The prediction of {name}': labels for name, labels in predictions.items()}
    if ground_truth is not None:
        maps['The ground truth'] = ground_truth
    for owner, labels in maps.items():
        if labels.shape != image.shape[:2]:
            raise ValueError(
                f'{owner} has shape {labels.shape}, the image {image.shape[:2]}; they must be equal.'
            )
        ids = np.unique(labels)
        if labels is ground_truth:
            ids = ids[ids != ignore_index]
        outside = ids[(ids < 0) | (ids >= num_classes)]
        if len(outside):
            raise ValueError(
                f'{owner} has the class ids {outside.tolist()}; with {num_classes} classes they must be '
                f'0 to {num_classes - 1}' + f', or {ignore_index} for "not labelled".'
            )


def _choose_box(
    crop: Crop,
    predictions: Sequence[np.ndarray],
    ground_truth: Optional[np.ndarray],
    image: np.ndarray,
    ignore_index: int,
) -> Tuple[Box, str]:
    """Return the part of the image to show, and a note for the legend if there was no difference to crop to."""
    height, width = image.shape[:2]
    whole = Box(0, 0, width, height)
    if crop is None:
        return whole, ''
    if isinstance(crop, str):
        if crop != 'auto':
            raise ValueError(f"crop must be None, 'auto' or (x, y, width, height); found {crop!r}.")
        # For a panorama, every second or third pixel is enough.
        step = -(-max(width, height) // _LARGEST)
        predictions = [labels[::step, ::step] for labels in predictions]
        truth = None if ground_truth is None else ground_truth[::step, ::step]
        density = difference_density(predictions, truth, ignore_index)
        if not density.any():
            return whole, NOTHING_TO_CROP_TO
        found = find_crop(density, [*predictions, *([] if truth is None else [truth])])
        return found.enlarged(step, (width, height)) if found else whole, ''
    box = Box(*crop)
    box.check_inside((width, height))
    return box, ''
