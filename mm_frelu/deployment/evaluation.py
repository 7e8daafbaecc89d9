"""The metrics of an ONNX file on the test set of a config, by OpenMMLab's own datasets and metrics."""

import logging
from contextlib import contextmanager, redirect_stdout
from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData
from rich.progress import track

from mm_frelu.datasets.check_dataset import check_datasets
from mm_frelu.engine.arguments import require_library, task_of
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.launch import require_keys

from .runtime import Run

HEADLINE = {
    'segmentation': 'mIoU',
    'detection': 'coco/bbox_mAP',
    'classification': 'accuracy/top1',
}
"""The metric that papers print, of each task."""


class TestSet:
    """The test set and the metrics of a config.

    Args:
        cfg: The config.

    Raises:
        UserError: When its data are not there.
    """

    __test__ = False  # no test of pytest

    def __init__(self, cfg: Config) -> None:
        require_keys(cfg, ('test_dataloader', 'test_evaluator'), 'evaluating')
        require_library(cfg)
        init_default_scope(cfg.default_scope)
        check_datasets(cfg, ('test_dataloader',))
        self.task = task_of(cfg)
        loader = dict(cfg.test_dataloader, num_workers=0, persistent_workers=False)
        loader.pop('prefetch_factor', None)
        with quiet():
            self.loader = Runner.build_dataloader(loader)
        self._evaluator = cfg.test_evaluator

    def evaluate(self, run: Run, name: str) -> Dict[str, float]:
        """Predict every image of the test set and compute the metrics.

        Args:
            run: An exported file.
            name: What the progress bar calls it.

        Returns:
            The metrics by their names.

        Raises:
            UserError: When the file does not take images of that size.
        """
        with quiet():
            evaluator = Evaluator(self._evaluator)
        evaluator.dataset_meta = getattr(self.loader.dataset, 'metainfo', None)
        for batch in track(self.loader, f'Testing {name}'):
            for pixels, sample in zip(batch['inputs'], batch['data_samples']):
                self._add(sample, predict(run, pixels, name))
            evaluator.process(data_samples=batch['data_samples'], data_batch=batch)
        with quiet():
            return evaluator.evaluate(len(self.loader.dataset))

    def _add(self, sample: Any, found: Dict[str, np.ndarray]) -> None:
        """Put a result into a sample, in the size of the original image."""
        results = {name: torch.from_numpy(values) for name, values in found.items()}
        if self.task == 'segmentation':
            sample.pred_sem_seg = PixelData(data=_labels(results, tuple(sample.ori_shape)))
        elif self.task == 'detection':
            boxes = results['boxes'] / results['boxes'].new_tensor(list(sample.scale_factor) * 2)
            sample.pred_instances = InstanceData(
                bboxes=boxes, scores=results['scores'], labels=results['labels']
            )
        else:
            (scores,) = results['scores']
            sample.set_pred_score(scores).set_pred_label(scores.argmax(dim=0, keepdim=True))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the tables and steps that metrics and annotation files report, once for each exported file."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(None):
            yield
    finally:
        logger.setLevel(level)


def predict(run: Run, pixels: torch.Tensor, name: str) -> Dict[str, np.ndarray]:
    """Run an exported file on an image as test pipelines leave it.

    Args:
        run: The file.
        pixels: BGR pixels of shape (3, H, W).
        name: What to call the file in an error.

    Raises:
        UserError: When it does not take an image of that size.
    """
    try:
        return run(rgb(pixels))
    except Exception as error:  # onnxruntime has its own
        size = 'x'.join(map(str, pixels.shape[1:]))
        reason = str(error).strip().splitlines()[0][:160]
        raise UserError(
            f'{name} does not run on an image of {size} pixels, as the test pipeline of the config leaves it ({reason}). '
            'Export it with --dynamic, or with that --shape.'
        ) from error


def rgb(pixels: torch.Tensor) -> np.ndarray:
    """The input of an exported file for an image of a pipeline: (3, H, W) of BGR becomes (1, 3, H, W) of RGB."""
    return np.ascontiguousarray(pixels.flip(0)[None].numpy().astype(np.float32))


def _labels(results: Dict[str, torch.Tensor], size: Tuple[int, ...]) -> torch.Tensor:
    """Labels of shape (1, H, W); logits are enlarged as mmseg does, labels by the nearest."""
    if 'logits' in results:
        logits = torch.nn.functional.interpolate(results['logits'], size, mode='bilinear')
        return logits.argmax(1)
    labels = results['labels'][None].float()
    return torch.nn.functional.interpolate(labels, size, mode='nearest-exact')[0].long()


def headline(task: str, metrics: Dict[str, float]) -> Optional[str]:
    """The metric to look at first, if it is among these."""
    return HEADLINE[task] if HEADLINE[task] in metrics else next(iter(metrics), None)
