"""Exported networks: a model of OpenMMLab from image to result, as an ``nn.Module`` whose inputs and outputs are tensors."""

from typing import Any, Dict, List, Tuple

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mm_frelu.engine.arguments import task_of
from mm_frelu.engine.errors import UserError

from .pixels import Pixels, pixels_of

FIXED: Dict[int, str] = {}
IMAGES, BOXES = {0: 'images'}, {0: 'boxes'}
"""Named dimensions of an output: none, the batch, the number of boxes."""


class Network(nn.Module):
    """Base class of the exported networks.

    Args:
        model: The model, in eval mode.
        pixels: Its preprocessing.

    Attributes:
        outputs: Names of the outputs, each with its dynamic dimensions.
        one_image: Whether it supports only one image at a time.
    """

    outputs: Dict[str, Dict[int, str]]
    one_image = False

    def __init__(self, model: nn.Module, pixels: Pixels) -> None:
        super().__init__()
        self.model: Any = model  # methods differ between models
        self.pixels = pixels


class SegmentationLogits(Network):
    """Logits of every pixel, (N, classes, H, W)."""

    outputs = {'logits': {**IMAGES, 2: 'height', 3: 'width'}}

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits of images (N, 3, H, W)."""
        x = self.pixels(image)
        logits = self.model.encode_decode(x, [dict(img_shape=x.shape[2:])])
        return logits[..., : image.shape[2], : image.shape[3]].float()


class SegmentationLabels(SegmentationLogits):
    """Class of every pixel, (N, H, W), in the smallest sufficient type."""

    outputs = {'labels': {**IMAGES, 1: 'height', 2: 'width'}}

    def forward(self, image: Tensor) -> Tensor:
        """Compute the labels of images (N, 3, H, W)."""
        logits = super().forward(image)
        if logits.shape[1] == 1:  # two classes in mmseg
            return (logits.sigmoid() > self.model.decode_head.threshold)[:, 0].to(torch.uint8)
        return logits.argmax(1).to(torch.uint8 if logits.shape[1] <= 256 else torch.int32)


class DetectionBoxes(Network):
    """Boxes (K, 4) in pixels of the image, their scores (K,) and classes (K,), after NMS, best first."""

    outputs = {'boxes': BOXES, 'scores': BOXES, 'labels': BOXES}
    one_image = True

    def __init__(self, model: nn.Module, pixels: Pixels) -> None:
        super().__init__(model, pixels)
        from .boxes import find_boxes, read_suppression  # needs mmdet

        self.settings, self.find_boxes = read_suppression(model.bbox_head), find_boxes

    def forward(self, image: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Find the boxes of one image, (1, 3, H, W)."""
        head = self.model.bbox_head
        outputs = head(self.model.extract_feat(self.pixels(image)))
        return self.find_boxes(head, outputs, image.shape[2:], self.settings)


class ClassScores(Network):
    """Probabilities of the classes, (N, classes)."""

    outputs = {'scores': IMAGES}

    def forward(self, image: Tensor) -> Tensor:
        """Classify images (N, 3, H, W)."""
        return self.model(self.pixels(image), mode='tensor').float().softmax(1)


class _Maps(Network):
    """Base class of networks whose outputs are feature maps."""

    name: str

    def __init__(self, model: nn.Module, pixels: Pixels) -> None:
        super().__init__(model, pixels)
        with torch.no_grad():
            count = len(self(torch.zeros(1, 3, 64, 64)))
        self.outputs = {
            f'{self.name}{index}': {**IMAGES, 2: f'height{index}', 3: f'width{index}'}
            for index in range(count)
        }

    def compute(self, x: Tensor) -> Any:
        """Compute the maps from normalised pixels."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> List[Tensor]:
        """Compute the maps of images (N, 3, H, W), in the order of the model."""
        return [value.float() for value in flat(self.compute(self.pixels(image)))]


class BackboneFeatures(_Maps):
    """Feature maps of a backbone, in the order of its ``out_indices``."""

    name = 'features'

    def compute(self, x: Tensor) -> Any:
        """Run the backbone."""
        return self.model.backbone(x)


class HeadOutputs(_Maps):
    """Outputs of the heads: logits before resizing, or scores and box deltas of each level before NMS."""

    name = 'output'

    def compute(self, x: Tensor) -> Any:
        """Run the model without post-processing."""
        return self.model(x, None, mode='tensor')


def flat(nested: Any) -> List[Tensor]:
    """Return the tensors in nested lists, in order."""
    if isinstance(nested, Tensor):
        return [nested]
    return [tensor for inner in nested for tensor in flat(inner)]


def network_of(model: nn.Module, cfg: Config, part: str, output: str) -> Network:
    """Create the network to export.

    Args:
        model: The model of ``cfg`` with its weights, in eval mode.
        cfg: The config.
        part: ``'model'``, ``'heads'`` or ``'backbone'``.
        output: For segmentation, ``'labels'`` or ``'logits'``.

    Raises:
        UserError: If this kind of model is not supported.
    """
    pixels = pixels_of(cfg, getattr(model, 'data_preprocessor', None))
    if part == 'backbone':
        return BackboneFeatures(model, pixels).eval()
    whole = _class_of(model, cfg, output)
    return (whole if part == 'model' else HeadOutputs)(model, pixels).eval()


def _class_of(model: Any, cfg: Config, output: str) -> type:
    task = task_of(cfg)
    if task == 'segmentation':
        if not hasattr(model, 'encode_decode'):
            raise _unsupported(cfg, model, 'segmentor with the encode_decode method of mmseg')
        return SegmentationLabels if output == 'labels' else SegmentationLogits
    if task == 'detection':
        from mmdet.models import SingleStageDetector

        if not isinstance(model, SingleStageDetector):
            raise _unsupported(cfg, model, 'SingleStageDetector of mmdet, such as RetinaNet')
        return DetectionBoxes
    if task == 'keypoints':
        raise _unsupported(cfg, model, 'segmentor, detector or classifier')
    return ClassScores


def _unsupported(cfg: Config, model: Any, supported: str) -> UserError:
    return UserError(
        f'{cfg.filename}: {type(model).__name__} cannot be exported, because it is not a {supported}. Export its backbone with '
        '--part backbone.'
    )
