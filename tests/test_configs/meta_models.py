"""Inspect the parts of a config's model on torch's meta device, without memory or computation. Helper for the tests here."""

import json
from functools import cache
from pathlib import Path
from typing import Dict, NamedTuple

import mmdet.models  # noqa: F401
import mmseg.models  # noqa: F401
import torch
from config_files import load
from mmengine.registry import MODELS, DefaultScope


class Anatomy(NamedTuple):
    """The parts of a model."""

    kinds: Dict[str, str]
    """Class name of each module, by the module's name."""
    num_parameters: int


def anatomy(path: Path) -> Anatomy:
    """Return the parts of a config's model without its data preprocessor. Configs with the same parts share one result."""
    cfg = load(path)
    model = cfg.model
    model.backbone.init_cfg = model.data_preprocessor = None
    # How a segmentor is tested and resized are not parts of it.
    for head in (model[key] for key in ('decode_head', 'auxiliary_head') if model.get(key)):
        head.align_corners, model.test_cfg = False, dict(mode='whole')
    return _dissect(cfg.default_scope, json.dumps(model.to_dict(), sort_keys=True))


@cache
def _dissect(scope: str, model_cfg: str) -> Anatomy:
    with DefaultScope.overwrite_default_scope(scope), torch.device('meta'):
        model = MODELS.build(json.loads(model_cfg))
    return Anatomy(
        kinds={name: type(module).__name__ for name, module in model.named_modules()},
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
