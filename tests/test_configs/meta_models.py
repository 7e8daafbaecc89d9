"""Models on torch's meta device: all modules and shapes, no memory, no arithmetic. Helper of the tests in this folder."""

from pathlib import Path

import mmdet.models  # noqa: F401
import mmseg.models  # noqa: F401
import torch
from config_files import load
from mmengine.registry import MODELS, DefaultScope
from torch import nn


def build_on_meta(path: Path) -> nn.Module:
    """Build the model of a config without its weights."""
    cfg = load(path)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        return MODELS.build(cfg.model)


def count_parameters(path: Path) -> int:
    """Number of parameters of a config's model."""
    return sum(parameter.numel() for parameter in build_on_meta(path).parameters())
