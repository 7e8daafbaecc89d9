"""Load detectors for inference, with their classes and colours, and predict boxes.

MMDetection does the inference. It is imported when a model is loaded, so that drawing needs only NumPy, Pillow and Matplotlib.
"""

import warnings
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader
from torch import nn

from mm_frelu.datasets.check_dataset import leaf_datasets
from mm_frelu.datasets.class_colors import class_colors
from mm_frelu.datasets.config_types import kind_of
from mm_frelu.engine.arguments import read_config, require_library, task_of
from mm_frelu.engine.checkpoint_file import check_checkpoint_file
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.errors import UserError, listed
from mm_frelu.evaluation.boxes import Detections

from .segmentors import warn_about_preprocessing


class Detector(NamedTuple):
    """A detector in eval mode.

    Attributes:
        name: Name of the model in pictures.
        model: The model.
        classes: Names of the classes.
        palette: One RGB colour for each class, or None.
        loader: The step of its test pipeline that reads an image.
        pipeline: The steps after it.
    """

    name: str
    model: nn.Module
    classes: Tuple[str, ...]
    palette: Optional[Sequence[Sequence[int]]]
    loader: Dict[str, Any]
    pipeline: Compose

    def predict(self, image: np.ndarray) -> Detections:
        """Finds the objects of an image.

        Args:
            image: Result of :func:`~mm_frelu.visualization.image_files.read_image` with ``loader``.

        Returns:
            The detections, in pixels of the image.

        Raises:
            UserError: If the image has another number of channels than the model expects, or a step of the pipeline fails.
        """
        try:
            data = self.pipeline(dict(img=image, img_id=0))
        except (
            Exception
        ) as error:  # any step may fail; OpenCV cannot resize a narrow image to 0 pixels
            height, width = image.shape[:2]
            raise UserError(
                f'the test pipeline of {self.name} fails on an image of {width}x{height} ({str(error).strip().splitlines()[0]}). Use a '
                'Resize with another scale, or crop the image.'
            ) from error
        batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
        test_step: Any = self.model.test_step
        try:
            with torch.no_grad():
                found = test_step(batch)[0].pred_instances
        except (
            RuntimeError
        ) as error:  # raised by the first convolution or by the normalisation before it
            if not any(word in str(error) for word in ('channel', 'size of tensor')):
                raise
            channels = 1 if image.ndim == 2 else image.shape[2]
            raise UserError(
                f'the model {self.name} does not support images of {channels} channels ({str(error).splitlines()[0]}). Give images '
                f'like those that it was trained on, or change {self.loader} of its test pipeline.'
            ) from None
        boxes = getattr(found.bboxes, 'tensor', found.bboxes)
        return Detections.of(*(part.cpu().numpy() for part in (boxes, found.labels, found.scores)))


def load_detector(
    name: str,
    config: str,
    checkpoint: str,
    device: str = 'cpu',
    change: Optional[Callable[[Config], None]] = None,
) -> Detector:
    """Builds a detector and loads its weights.

    The classes come from the checkpoint or, if it does not record them, from the config's test set.

    Args:
        name: Name of the model in pictures.
        config: Config file.
        checkpoint: Checkpoint file, or a URL that MMEngine can download.
        device: PyTorch device.
        change: Function that changes the config before the model is built.

    Returns:
        The detector in eval mode, with BN instead of SyncBN, which computes the same in eval mode.

    Raises:
        UserError: If a file is missing, the config is not a detection config, the checkpoint does not fit, or the classes are
            unknown.
    """
    cfg = read_config(config)
    if change is not None:
        change(cfg)
    task = task_of(cfg)
    if task != 'detection':
        raise UserError(
            f'{name}: {config} is a {task} config; pictures of detections need a detection config.'
        )
    check_checkpoint_file(checkpoint, f'the checkpoint of {name}')
    require_library(cfg)
    from mmdet.models import BaseDetector
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    with warnings.catch_warnings(), DefaultScope.overwrite_default_scope('mmdet'):
        warnings.simplefilter('ignore')  # advice on training
        model = MODELS.build(cfg.model)
    if not isinstance(model, BaseDetector):
        raise UserError(
            f'{name}: the model of {config} is a {type(model).__name__}, not a detector of MMDetection.'
        )
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    load_strictly(model, loaded, f'{name}: {checkpoint}')
    warn_about_preprocessing(name, cfg, loaded)
    classes, palette = _classes(cfg, loaded)
    if not classes:
        raise UserError(
            f'{name}: neither {checkpoint} nor the test set of {config} names the classes. Expected '
            "meta['dataset_meta']['classes'] in the checkpoint or test_dataloader.dataset in the config."
        )
    outputs = getattr(getattr(model, 'bbox_head', None), 'num_classes', None)
    if isinstance(outputs, int) and outputs != len(classes):
        raise UserError(
            f'{name}: the model has {outputs} classes (bbox_head.num_classes in {config}), but its dataset has '
            f'{len(classes)}: {listed(classes)}.'
        )
    loader, *steps = _steps(cfg, config)
    with DefaultScope.overwrite_default_scope('mmdet'):
        pipeline = Compose([dict(type='mmdet.LoadImageFromNDArray'), *steps])
    model = revert_sync_batchnorm(model).to(device).eval()
    return Detector(name, model, classes, palette, dict(_scope_='mmdet', **loader), pipeline)


def check_same_boxes(names: Sequence[str], classes: Sequence[Sequence[str]]) -> None:
    """Raises :class:`UserError` unless all models have the same classes in the same order."""
    for name, own in zip(names[1:], classes[1:]):
        if tuple(own) != tuple(classes[0]):
            raise UserError(
                f'The models do not have the same classes: {names[0]} has {len(classes[0])} ({listed(classes[0])}), {name} '
                f'{len(own)} ({listed(own)}). Compare models that were trained on the same dataset.'
            )


def _classes(cfg: Config, loaded: Dict[str, Any]) -> Tuple[Tuple[str, ...], Any]:
    from mmdet.registry import DATASETS

    meta = (loaded.get('meta') or {}).get('dataset_meta') or {}
    leaves = leaf_datasets((cfg.get('test_dataloader') or {}).get('dataset'), '')
    settings = next((leaf for _, leaf in leaves), None)
    classes, colors = tuple(meta.get('classes') or ()), None
    if settings is not None:
        with DefaultScope.overwrite_default_scope('mmdet'):
            dataset = DATASETS.build({**settings, 'lazy_init': True, 'pipeline': []})
        own = tuple(dataset.metainfo.get('classes') or ())
        if classes in ((), own):
            classes, colors = own, class_colors(dataset)
    return classes, colors


def _steps(cfg: Config, config: str) -> List[Dict[str, Any]]:
    leaves = leaf_datasets((cfg.get('test_dataloader') or {}).get('dataset'), '')
    pipeline = next((leaf.get('pipeline') for _, leaf in leaves), None) or cfg.get('test_pipeline')
    steps = [dict(step) for step in pipeline or () if kind_of(step) != 'LoadAnnotations']
    if not steps or not kind_of(steps[0]).startswith('Load'):
        raise UserError(
            f'{config} has no test pipeline that begins with loading an image: expected test_dataloader.dataset.pipeline.'
        )
    return steps
