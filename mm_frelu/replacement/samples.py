"""Small dummy inputs, with labels, for the models of mmdet, mmseg, mmpretrain and mmpose and for plain modules.

With them a forward pass runs through every branch, including auxiliary and training-only ones. Their values have no meaning.
"""

import functools
from typing import Any, Callable, List, Optional, Tuple

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

Run = Callable[[nn.Module], Any]
"""Function that runs a model once."""

BATCH_SIZES = {'loss': 2, 'tensor': 1, 'predict': 1}
"""In training, batch norms need two values per channel, also after pooling to 1x1. The batch sizes differ between the modes,
so that a dimension that depends on the batch size is not mistaken for the channels."""


def library_of(model: nn.Module) -> Optional[str]:
    """Return the OpenMMLab library whose calling convention a model follows, or None."""
    if not isinstance(model, BaseModel):  # a backbone by itself
        return None
    for kind in type(model).__mro__:
        library = kind.__module__.partition('.')[0]
        if library in ('mmdet', 'mmseg', 'mmpretrain', 'mmpose'):
            return library
    return None


def dummy_run(
    model: nn.Module, channels: int, size: Tuple[int, int], device: torch.device, mode: str
) -> Run:
    """Create a function that runs a forward pass on dummy images.

    Args:
        model: The model.
        channels: Channels of the images.
        size: Height and width of the images.
        device: Device of the model.
        mode: ``'loss'`` for the forward pass of a training step, ``'tensor'`` for raw outputs, or ``'predict'``.

    Returns:
        The function.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH_SIZES[mode], channels, *size, generator=generator).to(device)
    library = library_of(model)
    if library is None:
        return lambda model: model(images)
    if library == 'mmpose':
        # What the targets are depends on the head; a training step goes through the same modules.
        return lambda model: model(images, None, mode='tensor')
    if library == 'mmdet':
        # Some assigners of detectors without masks use masks if there are any, and expect them to be tensors.
        with_masks = any('mask' in name for name, _ in model.named_modules())
        samples: Callable[[Tensor], List[Any]] = functools.partial(
            _detection, with_masks=with_masks
        )
    else:
        samples = {'mmseg': _segmentation, 'mmpretrain': _classification}[library]
    return lambda model: model(images, samples(images), mode=mode)


def _metainfo(images: Tensor) -> dict:
    size = tuple(images.shape[-2:])
    keys = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    return dict(
        **dict.fromkeys(keys, size),
        scale_factor=(1.0, 1.0),
        flip=False,
        img_id=0,
        img_path='dummy.png',
    )


def _detection(images: Tensor, with_masks: bool) -> List[Any]:
    """Create two objects of the first class in each image: boxes, a semantic map, and masks if requested."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    height, width = images.shape[-2:]
    corners = np.array([[0.1, 0.1, 0.6, 0.7], [0.3, 0.4, 0.9, 0.9]])
    corners = (corners * [width, height, width, height]).round().astype(int)
    masks = np.zeros((len(corners), height, width), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, corners):
        mask[top:bottom, left:right] = 1
    boxes = torch.from_numpy(corners).float().to(images.device)
    labels = torch.zeros(len(corners), dtype=torch.long, device=images.device)
    samples = []
    for _ in images:
        sample = DetDataSample(metainfo=_metainfo(images))
        sample.gt_instances = InstanceData(bboxes=boxes.clone(), labels=labels.clone())
        if with_masks:
            sample.gt_instances.masks = BitmapMasks(masks, height, width)
        sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=labels[:0])
        sample.gt_sem_seg = PixelData(sem_seg=torch.zeros_like(images[0, :1], dtype=torch.long))
        samples.append(sample)
    return samples


def _segmentation(images: Tensor) -> List[Any]:
    """Create label maps with class 0 in the left half and class 1 in the right half, and the border between them."""
    from mmseg.structures import SegDataSample

    width = images.shape[-1]
    labels = torch.zeros_like(images[0, :1], dtype=torch.long)
    labels[..., width // 2 :] = 1
    border = torch.zeros_like(labels)
    border[..., width // 2] = 1
    samples = []
    for _ in images:
        sample = SegDataSample(metainfo=_metainfo(images))
        sample.gt_sem_seg = PixelData(data=labels.clone())
        sample.gt_edge_map = PixelData(data=border.clone())
        samples.append(sample)
    return samples


def _classification(images: Tensor) -> List[Any]:
    from mmpretrain.structures import DataSample

    return [DataSample(metainfo=_metainfo(images)).set_gt_label(0) for _ in images]
