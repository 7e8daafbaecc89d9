"""Write tiny networks with random weights and statistics to files, to test exports without training."""

from pathlib import Path
from typing import Any, Dict, NamedTuple

import tiny_project
import torch
from mmengine.config import Config
from torch.nn.modules.batchnorm import _BatchNorm

from mm_frelu.engine.model_builder import build_model


class Files(NamedTuple):
    """A config and a checkpoint for it."""

    config: Path
    checkpoint: Path

    @property
    def cfg(self) -> Config:
        return Config.fromfile(self.config)


def write(folder: Path, name: str, settings: Dict[str, Any], seed: int = 0) -> Files:
    """Write the config and a checkpoint of a network whose norms are not trivial to fold."""
    config = tiny_project.write_config(folder / f'{name}.py', settings)
    torch.manual_seed(seed)
    model = build_model(Config.fromfile(config))
    for norm in model.modules():
        if isinstance(norm, _BatchNorm):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.normal_(0, 0.2)
    checkpoint = folder / f'{name}.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), checkpoint)
    return Files(config, checkpoint)


def segmentor(folder: Path, activation: str = 'FReLU', root: Path = Path('scenes')) -> Files:
    """A PSPNet with the paper's four pooling scales."""
    settings = tiny_project.segmentation(root, activation)
    settings['model']['decode_head']['pool_scales'] = (1, 2, 3, 6)
    return write(folder, f'psp_{activation}', settings)


def detector(
    folder: Path, activation: str = 'FReLU', root: Path = Path('scenes'), **test_cfg: Any
) -> Files:
    """A RetinaNet that finds ten boxes in any image."""
    settings = tiny_project.detection(root, activation)
    settings['model']['test_cfg'].update(test_cfg)
    return write(folder, f'retina_{activation}', settings)
