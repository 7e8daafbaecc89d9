"""Small invented inputs, with labels, for the models of mmdet, mmseg and mmpretrain and for plain modules.

They exist to make a forward pass run through every branch, the auxiliary and training-only ones too. Their values mean
nothing.
"""

from typing import Any, Callable, List, Optional, Tuple

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

Run = Callable[[nn.Module], Any]
"""Runs a model once."""

BATCH_SIZE = 2
"""Batch norms need two values per channel, also behind a pooling to 1x1."""


def library_of(model: nn.Module) -> Optional[str]:
    """The OpenMMLab library whose calling convention a model has, or None."""
    for kind in type(model).__mro__:
        library = kind.__module__.partition('.')[0]
        if library in ('mmdet', 'mmseg', 'mmpretrain'):
            return library
    return None


def invented_run(
    library: Optional[str], channels: int, size: Tuple[int, int], device: torch.device, mode: str
) -> Run:
    """A forward pass over two images.

    Args:
        library: From :func:`library_of`.
        channels: Channels of the images.
        size: Their height and width.
        device: Where the model is.
        mode: ``'loss'``, the pass of a training step, or ``'tensor'``, raw outputs.

    Returns:
        What runs the model.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH_SIZE, channels, *size, generator=generator).to(device)
    if library is None:
        return lambda model: model(images)
    samples = {'mmdet': _detection, 'mmseg': _segmentation, 'mmpretrain': _classification}[library]
    return lambda model: model(images, samples(images), mode=mode)


def _metainfo(images: Tensor) -> dict:
    size = tuple(images.shape[-2:])
    keys = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    return dict(
        **dict.fromkeys(keys, size),
        scale_factor=(1.0, 1.0),
        flip=False,
        img_id=0,
        img_path='invented.png',
    )


def _detection(images: Tensor) -> List[Any]:
    """Two objects of the first class in each image: boxes, masks and a semantic map."""
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
        sample.gt_instances = InstanceData(
            bboxes=boxes.clone(), labels=labels.clone(), masks=BitmapMasks(masks, height, width)
        )
        sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=labels[:0])
        sample.gt_sem_seg = PixelData(sem_seg=torch.zeros_like(images[0, :1], dtype=torch.long))
        samples.append(sample)
    return samples


def _segmentation(images: Tensor) -> List[Any]:
    """Class 0 in the left half, class 1 in the right, and the border between them."""
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
