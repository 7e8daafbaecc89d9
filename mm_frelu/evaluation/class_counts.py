"""Base class of segmentation metrics that, like mIoU, count pixels per class in each image and divide the sums at the end."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from rich.console import Console
from rich.table import Table

from mm_frelu.engine.errors import UserError

Counts = Tuple[np.ndarray, np.ndarray]


class ClassCounts(BaseMetric):
    """Count intersections and unions per image. A subclass implements :meth:`count` and :meth:`names`.

    Only the counts of the classes in an image are kept (about 0.5 kB for ten classes), so that memory grows with the number of
    images but not with their size. Counts are kept per image, because a distributed sampler may repeat images to fill the last
    batch, and MMEngine removes their results. A sum would count these images twice.

    Args:
        ignore_index (int): The label of unlabelled pixels. Predictions at these pixels are ignored.
        collect_device (str): ``'cpu'`` or ``'gpu'``: device on which the counts of several processes are gathered.
        prefix (str, optional): Prefix of the names of the results, followed by a slash.
    """

    def __init__(
        self, ignore_index: int = 255, collect_device: str = 'cpu', prefix: Optional[str] = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index

    def count(self, prediction: np.ndarray, label: np.ndarray, num_classes: int) -> Counts:
        """Count in one image.

        Args:
            prediction (np.ndarray): Class numbers (H, W), ``int32``; ``num_classes`` at unlabelled pixels.
            label (np.ndarray): The same for the ground truth.
            num_classes (int): Number of classes.

        Returns:
            tuple: Intersection and union, integer arrays whose last axis has ``num_classes`` entries.
        """
        raise NotImplementedError

    def names(self) -> List[str]:
        """Return the names of the results, one for each row of the counts."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count in every image of a batch. ``data_samples`` have ``pred_sem_seg`` and ``gt_sem_seg``, like those of mmseg.

        Raises:
            UserError: If a label has another size than the prediction, or a value that is not a class.
        """
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            prediction, label = (
                _as_map(sample[key]['data']) for key in ('pred_sem_seg', 'gt_sem_seg')
            )
            ignored = label == self.ignore_index
            if prediction.shape != label.shape:
                raise UserError(
                    f'{type(self).__name__}: the prediction for {sample.get("img_path")} has {prediction.shape} pixels, but its '
                    f'label has {label.shape}. Load annotations after Resize in the test pipeline.'
                )
            wrong = label[~ignored & ((label < 0) | (label >= num_classes))]
            if wrong.size:
                raise UserError(
                    f'{type(self).__name__}: the label of {sample.get("img_path")} has the value {wrong[0]} in {wrong.size} pixels. '
                    f'Expected 0 to {num_classes - 1}, or ignore_index={self.ignore_index}. Correct the label file, or set '
                    'ignore_index of the metric.'
                )
            label = np.where(ignored, num_classes, label)
            prediction = np.where(ignored, num_classes, prediction)
            intersection, union = self.count(prediction, label, num_classes)
            intersection, union = np.atleast_2d(intersection), np.atleast_2d(union)
            present = np.flatnonzero(union.any(axis=0))
            self.results.append((present, intersection[:, present], union[:, present]))

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Compute the mean over the classes that occur, in percent with two decimals like mmseg's mIoU, and log a table."""
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
    """Convert a tensor (1, H, W) on any device to ``int32`` class numbers (H, W)."""
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
