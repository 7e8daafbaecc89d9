"""Read a label map like the dataset of a config does.

mmseg's ``LoadAnnotations`` reads label maps for training, evaluation and pictures. It keeps only the lowest 8 bits of each value. Files
that are not one channel of 8 bits are therefore refused: 16-bit values of class * 256 + instance would become instance numbers.
"""

import os
from typing import Any, Dict, NamedTuple, Optional, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from mm_frelu.engine.errors import UserError

_EIGHT_BITS = ('1', 'L', 'P')  # Pillow's modes of one channel that mmseg reads unchanged


class Renumbering(NamedTuple):
    """Mapping from the ids in label files to the class ids of a dataset.

    Attributes:
        reduce_zero_label (bool): Whether 0 in a file means "not labelled" and 1 the first class (ADE20K).
        label_map (Dict[int, int], optional): For a subset of the dataset's classes: maps each old id, after
            ``reduce_zero_label``, to the new id or to 255.
        loader (Dict[str, Any]): The step of the pipeline that reads labels.
    """

    reduce_zero_label: bool = False
    label_map: Optional[Dict[int, int]] = None
    loader: Dict[str, Any] = {'type': 'LoadAnnotations'}

    def load(self, path: Union[str, os.PathLike]) -> np.ndarray:
        """Read the class ids of a label file with mmseg's own transform, as ``uint8`` of shape (H, W)."""
        import mmseg.datasets  # noqa: F401  (registers the transform)
        from mmseg.registry import TRANSFORMS

        step = {key: value for key, value in self.loader.items() if key != 'reduce_zero_label'}
        results = dict(
            seg_map_path=str(path),
            reduce_zero_label=self.reduce_zero_label,
            label_map=self.label_map,
            seg_fields=[],
        )
        # The scope is given because mmdet has a transform of the same name.
        return TRANSFORMS.build({'_scope_': 'mmseg', **step})(results)['gt_seg_map']


def check_label_file(path: Optional[str], prefix: str = '') -> None:
    """Raise if mmseg would misread a label file. For most files, only the header is read.

    Args:
        path (str, optional): The file. Remote files and formats that Pillow does not support are left to the pipeline.
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
            bands, mode, values = image.getbands(), image.mode, np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return  # the loader reports it
    if len(bands) > 1:
        colours = values[..., [index for index, band in enumerate(bands) if band != 'A']]
        equal = bool((colours == colours[..., :1]).all())
        remedy = (
            'Save its first channel: Image.open(path).getchannel(0).save(path).'
            if equal
            else 'For CityScapes that is *_gtFine_labelTrainIds.png, not *_color.png.'
        )
        raise UserError(
            f'{prefix}{path} is a colour image ({mode}){" whose pixels are all grey" if equal else ""}; expected one channel of '
            f'class ids. {remedy}'
        )
    low, high = values.min(), values.max()
    if values.dtype.kind == 'f' and (values != np.floor(values)).any():
        raise UserError(
            f'{prefix}{path} has fractional values ({low:g} to {high:g}); expected integer class ids, 8 bits each.'
        )
    if low < 0 or high > 255:
        raise UserError(
            f'{prefix}{path} has values from {low:g} to {high:g} ({mode}). mmseg keeps only the lowest 8 bits, so {high:g} '
            f'becomes {int(high) % 256}. Write 8-bit class ids; if values are class * 256 + instance, the class id is '
            'value // 256.'
        )
