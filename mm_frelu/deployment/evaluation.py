"""Compute metrics of an ONNX file on the test set of a config, with the datasets and metrics of OpenMMLab."""

import logging
from contextlib import contextmanager, redirect_stdout
from typing import Any, Dict, Iterator, Tuple

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
from mm_frelu.engine.errors import UserError, first_line
from mm_frelu.engine.launch import require_keys

from .runtime import Run

HEADLINE = {
    'segmentation': 'mIoU',
    'detection': 'coco/bbox_mAP',
    'classification': 'accuracy/top1',
}
"""The main metric of each task, as used in papers."""


class TestSet:
    """The test set and the metrics of a config.

    Args:
        cfg: The config.

    Raises:
        UserError: If its data do not exist.
    """

    __test__ = False  # not a test class for pytest

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
            name: Its name in the progress bar.

        Returns:
            The metrics by name.

        Raises:
            UserError: If the file does not support the size of an image.
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
        """Store a result in a sample, in the size of the original image."""
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
    """Suppress the tables and messages of metrics and annotation files, which would be repeated for each exported file."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(None):
            yield
    finally:
        logger.setLevel(level)


def predict(run: Run, pixels: torch.Tensor, name: str) -> Dict[str, np.ndarray]:
    """Run an exported file on an image from a test pipeline.

    Args:
        run: The file.
        pixels: BGR pixels of shape (3, H, W).
        name: Its name, for messages.

    Raises:
        UserError: If the file does not support the size of the image.
    """
    try:
        return run(rgb(pixels))
    except Exception as error:  # onnxruntime has its own error types
        size = 'x'.join(map(str, pixels.shape[1:]))
        raise UserError(
            f'{name} does not run on an image of {size} pixels, the output of the test pipeline of the config ({first_line(error)}). '
            'Export it with --dynamic, or with that --shape.'
        ) from error


def rgb(pixels: torch.Tensor) -> np.ndarray:
    """Convert an image of a pipeline to the input of an exported file: BGR (3, H, W) becomes RGB (1, 3, H, W)."""
    return np.ascontiguousarray(pixels.flip(0)[None].numpy().astype(np.float32))


def _labels(results: Dict[str, torch.Tensor], size: Tuple[int, ...]) -> torch.Tensor:
    """Return labels of shape (1, H, W). Logits are resized like in mmseg, labels by nearest neighbour."""
    if 'logits' in results:
        logits = torch.nn.functional.interpolate(results['logits'], size, mode='bilinear')
        return logits.argmax(1)
    labels = results['labels'][None].float()
    return torch.nn.functional.interpolate(labels, size, mode='nearest-exact')[0].long()


def headline(task: str, metrics: Dict[str, float]) -> str:
    """Return the name of the task's main metric if it is among these (one or more), else of the first one."""
    return HEADLINE[task] if HEADLINE[task] in metrics else next(iter(metrics))
