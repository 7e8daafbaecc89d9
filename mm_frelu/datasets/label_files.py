"""Reading a label map as the dataset of a config reads it.

mmseg's ``LoadAnnotations`` does it, for training, evaluation and pictures alike. It takes the lowest 8 bits of whatever the file
holds, so what does not fit into one channel of 8 bits is refused here: 16 bits of class * 256 + instance would train on instances.
"""

import os
from typing import Any, Dict, NamedTuple, Optional, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from mm_frelu.engine.errors import UserError

_EIGHT_BITS = ('1', 'L', 'P')  # Pillow's modes of one channel that mmseg reads unchanged


class Renumbering(NamedTuple):
    """From the ids in label files to the classes of a dataset.

    Attributes:
        reduce_zero_label (bool): Whether 0 in a file means "not labelled" and 1 the first class (ADE20K).
        label_map (Dict[int, int], optional): For a subset of the classes that the dataset's class knows: from the old number
            of each, after ``reduce_zero_label``, to the new one, or 255.
        loader (Dict[str, Any]): The step of the pipeline that reads labels.
    """

    reduce_zero_label: bool = False
    label_map: Optional[Dict[int, int]] = None
    loader: Dict[str, Any] = {'type': 'LoadAnnotations'}

    def load(self, path: Union[str, os.PathLike]) -> np.ndarray:
        """Class numbers of a label file by mmseg's own transform, ``uint8`` of shape (H, W)."""
        import mmseg.datasets  # noqa: F401  (registers the transform)
        from mmseg.registry import TRANSFORMS

        step = {key: value for key, value in self.loader.items() if key != 'reduce_zero_label'}
        results = dict(
            seg_map_path=str(path),
            reduce_zero_label=self.reduce_zero_label,
            label_map=self.label_map,
            seg_fields=[],
        )
        # Named, since mmdet has a step of that name, and its scope may be the default one.
        return TRANSFORMS.build({'_scope_': 'mmseg', **step})(results)['gt_seg_map']


def check_label_file(path: Optional[str], prefix: str = '') -> None:
    """Refuse a label file that mmseg would read as something else than its owner wrote. Of most files only the head is read.

    Args:
        path (str, optional): The file. What is not on a disk, and what Pillow does not know, is left to the pipeline.
        prefix (str): Start of the error message.

    Raises:
        UserError: For several channels, for values that need more than 8 bits, and for fractions.
    """
    if not path or not os.path.isfile(path):
        return
    try:
        with Image.open(path) as image:
            if image.mode in _EIGHT_BITS:
                return
            bands, mode, values = len(image.getbands()), image.mode, np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return  # told by the loader, with its reason
    if bands > 1:
        equal = values.ndim == 3 and bool((values[..., :1] == values[..., : min(bands, 3)]).all())
        what = f'{bands} equal channels' if equal and bands >= 3 else f'{bands} channels'
        remedy = (
            'Save one of them: Image.open(path).getchannel(0).save(path).'
            if equal and bands >= 3
            else 'For CityScapes that is *_gtFine_labelTrainIds.png, not *_color.png.'
        )
        raise UserError(
            f'{prefix}{path} is a picture in colours ({mode}): it has {what}; expected one channel of class numbers. {remedy}'
        )
    low, high = values.min(), values.max()
    if values.dtype.kind == 'f' and (values != np.floor(values)).any():
        raise UserError(
            f'{prefix}{path} holds fractions ({low:g} to {high:g}); expected whole class numbers, 8 bits each.'
        )
    if low < 0 or high > 255:
        raise UserError(
            f'{prefix}{path} holds values from {low:g} to {high:g} ({mode}). mmseg keeps the lowest 8 bits, so that {high:g} '
            f'becomes {int(high) % 256}. Write class numbers of 8 bits; where values are class * 256 + instance, that is '
            'value // 256.'
        )
