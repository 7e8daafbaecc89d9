"""Build the model of a config for inspection: in eval mode, without weights, data or a Runner."""

from copy import deepcopy
from typing import Any, Optional, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.utils import import_modules_from_strings
from torch import Tensor, nn

from .arguments import require_library, task_of
from .launch import require_keys


def build_model(cfg: Config, device: Union[str, torch.device] = 'cpu') -> nn.Module:
    """Build the model of a config in eval mode, with BN instead of SyncBN (same keys).

    Args:
        cfg: A detection, segmentation, classification or keypoint config. It is not changed.
        device: Device of the model. On ``'meta'`` it has shapes, but no values.

    Returns:
        The model. ``init_cfg`` is not applied and nothing is downloaded: weights have the defaults of their layers.

    Raises:
        UserError: When the config has no model, or ``default_scope`` is not mmdet, mmseg, mmpretrain or mmpose.
    """
    require_keys(cfg, ('model',), 'building its model')
    task_of(cfg)
    require_library(cfg)
    init_default_scope(cfg.default_scope)
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    model_cfg = without_pretrained(cfg.model)
    if cfg.get('data_preprocessor') is not None:  # mmpretrain's configs have it at the top level
        model_cfg.setdefault('data_preprocessor', deepcopy(cfg.data_preprocessor))
    with torch.device(device):
        model = MODELS.build(model_cfg)
        return revert_sync_batchnorm(model).eval()


def without_pretrained(node: Any) -> Any:
    """Copy a model config without its pretrained weights: ``init_cfg`` and ``pretrained`` that name a checkpoint become None."""
    if isinstance(node, dict):
        if node.get('type') in ('Pretrained', 'PretrainedInit'):
            return None
        kept = {key: without_pretrained(value) for key, value in node.items()}
        if isinstance(kept.get('pretrained'), str):  # older mmseg configs
            kept['pretrained'] = None
        return type(node)(kept)
    if isinstance(node, (list, tuple)):
        values = [without_pretrained(value) for value in node]
        return type(node)(new for new, old in zip(values, node) if new is not None or old is None)
    return deepcopy(node)


def forward_tensors(model: nn.Module, images: Tensor, task: str) -> Any:
    """Run a model up to the raw outputs of its heads: no post-processing, no auxiliary heads.

    Args:
        model: From :func:`build_model`.
        images: Preprocessed images of shape (N, 3, H, W).
        task: The result of :func:`~mm_frelu.engine.arguments.task_of`.

    Returns:
        Nested tensors: logits of a segmentor or classifier; heatmaps of a keypoint model; scores and boxes of each level of a detector.
    """
    with torch.no_grad():
        return recorded_tensors(model, images, task)


def recorded_tensors(model: nn.Module, images: Tensor, task: str) -> Any:
    """Same as :func:`forward_tensors`, but recorded by autograd."""
    samples = _detection_samples(images) if task == 'detection' else None
    return model(images, samples, mode='tensor')


def _detection_samples(images: Tensor) -> Optional[list]:
    """Build data samples with the size of the images, which two-stage detectors read between their stages."""
    from mmdet.structures import DetDataSample

    size: Tuple[int, ...] = tuple(images.shape[-2:])
    keys = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    metainfo = dict(dict.fromkeys(keys, size), scale_factor=(1.0, 1.0))
    return [DetDataSample(metainfo=metainfo) for _ in images]
