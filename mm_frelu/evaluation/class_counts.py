"""Base of segmentation metrics that count pixels per class in each image and divide the sums at the end, as mIoU does."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from rich.console import Console
from rich.table import Table

Counts = Tuple[np.ndarray, np.ndarray]


class ClassCounts(BaseMetric):
    """Counts intersections and unions per image; subclasses say of what.

    Of an image only the counts of the classes in it are kept (about 0.5 kB for ten classes), so that memory grows with the number
    of images and not with their size. They are kept per image because MMEngine drops by them the images that a distributed sampler
    adds to fill the last batch; a sum would count these twice.

    Args:
        ignore_index (int): The label that stands for "not labelled". Such pixels belong to no class in the prediction either, so
            that what a model says there counts for nothing.
        collect_device (str): ``'cpu'`` or ``'gpu'``: where the counts of several processes are gathered.
        prefix (str, optional): Put before the names of the results, with a slash.
    """

    def __init__(
        self, ignore_index: int = 255, collect_device: str = 'cpu', prefix: Optional[str] = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index

    def count(self, prediction: np.ndarray, label: np.ndarray, num_classes: int) -> Counts:
        """Count in one image.

        Args:
            prediction (np.ndarray): Class numbers (H, W), ``int32``; ``num_classes`` where the image is not labelled.
            label (np.ndarray): The same of the ground truth.
            num_classes (int): Number of classes.

        Returns:
            tuple: Intersection and union, integer arrays whose last axis has ``num_classes`` entries.
        """
        raise NotImplementedError

    def names(self) -> List[str]:
        """Names of the results, one for each row of the counts."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count in every image of a batch. ``data_samples`` hold ``pred_sem_seg`` and ``gt_sem_seg``, as mmseg's do."""
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            prediction, label = (
                _as_map(sample[key]['data']) for key in ('pred_sem_seg', 'gt_sem_seg')
            )
            ignored = label == self.ignore_index
            if prediction.shape != label.shape:
                raise ValueError(
                    f'{type(self).__name__}: the prediction for {sample.get("img_path")} has {prediction.shape} pixels, its label '
                    f'{label.shape}; they must be equal. Load annotations after Resize in the test pipeline.'
                )
            label = np.where(ignored, num_classes, label)
            prediction = np.where(ignored, num_classes, prediction)
            intersection, union = self.count(prediction, label, num_classes)
            intersection, union = np.atleast_2d(intersection), np.atleast_2d(union)
            present = np.flatnonzero(union.any(axis=0))
            self.results.append((present, intersection[:, present], union[:, present]))

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Mean over the classes that occur, in per cent with two decimals, as mmseg gives mIoU; a table of all is logged."""
        classes, names = self.dataset_meta['classes'], self.names()
        totals = np.zeros((2, len(names), len(classes)), dtype=np.int64)
        for present, intersection, union in results:
            totals[0][:, present] += intersection
            totals[1][:, present] += union
        with np.errstate(invalid='ignore'):
            ious = 100 * totals[0] / np.where(totals[1] > 0, totals[1], np.nan)
        logger = MMLogger.get_current_instance()
        print_log(f'{type(self).__name__}, per class:\n{_table(classes, names, ious)}', logger)
        return {
            name: round(float(np.nanmean(row)), 2) if np.isfinite(row).any() else float('nan')
            for name, row in zip(names, ious)
        }


def _as_map(data: Any) -> np.ndarray:
    """Class numbers (H, W) as ``int32``, of a tensor (1, H, W) on any device."""
    array = data.cpu().numpy() if hasattr(data, 'cpu') else np.asarray(data)
    return array.reshape(array.shape[-2:]).astype(np.int32)


def _table(classes: Sequence[str], names: Sequence[str], ious: np.ndarray) -> str:
    table = Table('Class', *names)
    for index, name in enumerate(classes):
        table.add_row(name, *(f'{value:.2f}' for value in ious[:, index]))
    console = Console(width=120, color_system=None)
    with console.capture() as text:
        console.print(table)
    return text.get()
