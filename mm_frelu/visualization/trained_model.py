"""Load the model of a config with its weights, for the tools that draw."""

import warnings
from typing import Any, Callable, Dict, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from torch import nn

from mm_frelu.engine.arguments import read_config, task_of
from mm_frelu.engine.checkpoint_file import check_checkpoint_file
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.errors import UserError, first_line
from mm_frelu.engine.model_builder import build_model

Change = Callable[[Config], None]


class Trained(NamedTuple):
    """A model in eval mode, with BN instead of SyncBN (which computes the same in eval mode), its config and its checkpoint."""

    cfg: Config
    model: nn.Module
    checkpoint: Dict[str, Any]


def load_trained(
    name: str,
    config: str,
    checkpoint: str,
    device: str = 'cpu',
    change: Optional[Change] = None,
    task: Optional[str] = None,
) -> Trained:
    """Builds a model and loads its weights.

    Args:
        name: Name of the model in pictures and messages.
        config: Config file.
        checkpoint: Checkpoint file, or a URL that MMEngine can download.
        device: PyTorch device.
        change: Function that changes the config before the model is built.
        task: The task that the config must have; None for any.

    Raises:
        UserError: If a file is missing, the config has another task or no model, or the checkpoint does not fit or contains NaN.
    """
    cfg = read_config(config)
    if change is not None:
        change(cfg)
    if task not in (None, task_of(cfg)):
        raise UserError(f'{name}: {config} is a {task_of(cfg)} config; expected a {task} config.')
    check_checkpoint_file(checkpoint, f'the checkpoint of {name}')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # advice on training
        model = build_model(cfg)
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    load_strictly(model, loaded, f'{name}: {checkpoint}', cfg)
    # NaN is never larger than another number, so a picture would show the first class, or no choice of a window, everywhere.
    bad = [key for key, value in model.state_dict().items() if value.isnan().any()]
    if bad:
        raise UserError(
            f'{name}: {checkpoint} has NaN in {len(bad)} of its weights, e.g. {bad[0]}, because its training diverged. Give an '
            'earlier checkpoint.'
        )
    return Trained(cfg, model.to(device), loaded)


def usable_device(device: Optional[str]) -> str:
    """Returns the given device; the first GPU, or else the CPU, if it is None.

    Raises:
        UserError: If PyTorch cannot use it.
    """
    device = device or ('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        torch.empty(1, device=device)
    except Exception as error:  # each backend raises its own types
        found = f'{torch.cuda.device_count()} CUDA devices' if torch.cuda.is_available() else 'none'
        raise UserError(
            f'--device {device} cannot be used here ({first_line(error)}). Accelerators found: {found}. '
            'Use --device cpu, or cuda:N of a device that exists.'
        ) from None
    return device
