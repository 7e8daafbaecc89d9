"""Loading detectors for inference, with their classes and colours, and asking them for boxes.

MMDetection does the work; it is imported when a model is loaded, so that drawing needs only NumPy, Pillow and Matplotlib.
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
from mm_frelu.engine.arguments import read_config, require_library, task_of
from mm_frelu.engine.checkpoint_file import check_checkpoint_file
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.errors import UserError
from mm_frelu.evaluation.boxes import Detections

from .segmentors import warn_about_preprocessing
from .test_set import kind_of, listed


class Detector(NamedTuple):
    """A detector in eval mode.

    Attributes:
        name: What the pictures call it.
        model: The model.
        classes: Names of the classes.
        palette: One RGB colour for each class, or None.
        loader: The step of its test pipeline that reads an image.
        pipeline: The steps behind it.
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
            image: What :func:`~mm_frelu.visualization.image_files.read_image` reads with ``loader``.

        Returns:
            The detections, in pixels of the image.

        Raises:
            UserError: When the image does not have the channels that the model takes, or a step of the pipeline fails on it.
        """
        try:
            data = self.pipeline(dict(img=image, img_id=0))
        except Exception as error:  # as each step has it; OpenCV refuses to make a side of 0 pixels of a narrow image
            height, width = image.shape[:2]
            raise UserError(
                f'the test pipeline of {self.name} fails on an image of {width}x{height} ({str(error).strip().splitlines()[0]}). Try a '
                'Resize with another scale, or cut the image.'
            ) from error
        batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
        test_step: Any = self.model.test_step
        try:
            with torch.no_grad():
                found = test_step(batch)[0].pred_instances
        except RuntimeError as error:  # of the first convolution, or of mean and std before it
            if not any(word in str(error) for word in ('channel', 'size of tensor')):
                raise
            channels = 1 if image.ndim == 2 else image.shape[2]
            raise UserError(
                f'the model {self.name} does not take images of {channels} channels ({str(error).splitlines()[0]}). Give images '
                f'such as it was trained on, or mend {self.loader} of its test pipeline.'
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

    Classes are those that the checkpoint was trained with or, if it says nothing, those of the config's test set.

    Args:
        name: What the pictures will call the model.
        config: Config file.
        checkpoint: Checkpoint file, or an address that MMEngine can fetch.
        device: Device of PyTorch.
        change: Changes the config before the model is built.

    Returns:
        The detector in eval mode; SyncBN has become BN, which computes the same there.

    Raises:
        UserError: No such file, no detection config, a checkpoint that does not fit, or no way to know the classes.
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
        warnings.simplefilter('ignore')  # advice about how to train
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
            f'{name}: the model tells {outputs} classes apart (bbox_head.num_classes in {config}), but its dataset has '
            f'{len(classes)}: {listed(classes)}.'
        )
    loader, *steps = _steps(cfg, config)
    with DefaultScope.overwrite_default_scope('mmdet'):
        pipeline = Compose([dict(type='mmdet.LoadImageFromNDArray'), *steps])
    model = revert_sync_batchnorm(model).to(device).eval()
    return Detector(name, model, classes, palette, dict(_scope_='mmdet', **loader), pipeline)


def check_same_boxes(names: Sequence[str], classes: Sequence[Sequence[str]]) -> None:
    """Raises UserError unless all models have the same classes in the same order."""
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
