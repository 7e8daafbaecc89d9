"""Load detectors for inference, with their classes and colours, and predict boxes.

MMDetection does the inference. It is imported when a model is loaded, so that drawing needs only NumPy, Pillow and Matplotlib.
"""

from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import nn

from mm_frelu.datasets.class_colors import class_colors
from mm_frelu.engine.errors import UserError, first_line, listed
from mm_frelu.evaluation.boxes import Detections

from .test_set import first_test_set, image_steps
from .trained_model import Change, load_trained


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
                f'the test pipeline of {self.name} fails on an image of {width}x{height} ({first_line(error)}). Use a '
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
                f'the model {self.name} does not support images of {channels} channels ({first_line(error)}). Give images '
                f'like those that it was trained on, or change {self.loader} of its test pipeline.'
            ) from None
        boxes = getattr(found.bboxes, 'tensor', found.bboxes)
        return Detections.of(*(part.cpu().numpy() for part in (boxes, found.labels, found.scores)))


def load_detector(
    name: str,
    config: str,
    checkpoint: str,
    device: str = 'cpu',
    change: Optional[Change] = None,
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
        The detector in eval mode.

    Raises:
        UserError: See :func:`load_trained`; or if the config is not a detection config, or the classes are unknown.
    """
    cfg, model, loaded = load_trained(name, config, checkpoint, device, change, 'detection')
    from mmdet.models import BaseDetector

    if not isinstance(model, BaseDetector):
        raise UserError(
            f'{name}: the model of {config} is a {type(model).__name__}, not a detector of MMDetection.'
        )
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
    loader, *steps = image_steps(cfg, config)
    pipeline = Compose([dict(type='mmdet.LoadImageFromNDArray'), *steps])
    return Detector(name, model, classes, palette, dict(_scope_='mmdet', **loader), pipeline)


def _classes(cfg: Config, loaded: Dict[str, Any]) -> Tuple[Tuple[str, ...], Any]:
    from mmdet.registry import DATASETS

    meta = (loaded.get('meta') or {}).get('dataset_meta') or {}
    settings = first_test_set(cfg)
    classes, colors = tuple(meta.get('classes') or ()), None
    if settings:
        dataset = DATASETS.build({**settings, 'lazy_init': True, 'pipeline': []})
        own = tuple(dataset.metainfo.get('classes') or ())
        if classes in ((), own):
            classes, colors = own, class_colors(dataset)
    return classes, colors
