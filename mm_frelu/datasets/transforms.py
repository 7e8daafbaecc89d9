"""Transforms for the pipelines of our configs."""

from typing import Optional

import numpy as np
from mmcv.transforms import BaseTransform

from mm_frelu.engine.errors import UserError, listed
from mm_frelu.registry import TRANSFORMS

from .label_files import check_label_file


@TRANSFORMS.register_module()
class CheckLabelIds(BaseTransform):
    """Check that a label map has legal class ids and the size of its image, and name the file if not.

    Without this check, an illegal id causes a device-side assert on a GPU, and "Target 33 is out of bounds" without a file name on
    a CPU. A label map of another size is resized to the image in training, and causes an IndexError in evaluation. Put this
    transform directly after ``LoadAnnotations``.

    Required Keys:

    - gt_seg_map (np.ndarray, (H, W), integer, optional)
    - seg_map_path (str, optional)
    - ori_shape (tuple, optional): Height and width of the image file.

    Args:
        num_classes (int): Number of classes; legal ids are 0 to ``num_classes - 1``.
        ignore_index (int): The id that the loss ignores. Defaults to 255.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        if num_classes < 1:
            raise ValueError(f'CheckLabelIds: num_classes must be at least 1, got {num_classes}.')
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> Optional[dict]:
        """Return ``results`` unchanged.

        Raises:
            UserError: When an id is out of range, or the size differs from that of the image.
        """
        # mmseg's inferencers remove only LoadAnnotations from the pipeline, so there may be no label.
        if 'gt_seg_map' not in results:
            return results
        check_label_file(results.get('seg_map_path'), 'seg_map_path ')
        label = results['gt_seg_map']
        height, width = results.get('ori_shape') or label.shape[:2]
        if label.shape[:2] != (height, width):
            raise UserError(
                f'seg_map_path {results.get("seg_map_path")}: {label.shape[1]}x{label.shape[0]} pixels (width x height), '
                f'but its image {results.get("img_path")} has {width}x{height}. The sizes must be equal: resize the label '
                'file without blending ids (nearest neighbour), or use the label file that belongs to the image.'
            )
        wrong = (label >= self.num_classes) & (label != self.ignore_index)
        if label.dtype.kind == 'i':
            wrong |= (label < 0) & (label != self.ignore_index)
        if wrong.any():
            ids, counts = np.unique(label[wrong], return_counts=True)
            raise UserError(
                self._describe(results.get('seg_map_path'), ids, int(counts.sum()), label.size)
            )
        return results

    def _describe(self, path: Optional[str], ids: np.ndarray, pixels: int, total: int) -> str:
        last = self.num_classes - 1
        if self.num_classes == 19 and 'labelIds' in str(path):
            cause = 'These are labelIds; train on *_gtFine_labelTrainIds.png (csCreateTrainIdLabelImgs makes them).'
        elif ids.tolist() == [self.num_classes]:
            cause = (
                'The ids seem to start at 1: set reduce_zero_label=True in the dataset if 0 means "no class", '
                'or raise num_classes by one.'
            )
        else:
            cause = (
                'Likely causes: raw label ids instead of train ids (CityScapes: *_gtFine_labelTrainIds.png), a colour '
                'image instead of a label map, or num_classes too small.'
            )
        return (
            f'seg_map_path {path}: ids {listed(ids, 8)} in {pixels} of {total} pixels are not classes; expected 0 to {last} or '
            f'{self.ignore_index} (ignored). {cause}'
        )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_classes={self.num_classes}, ignore_index={self.ignore_index})'
