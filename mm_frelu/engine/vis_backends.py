"""Select visualisation backends by name on the command line.

    --cfg-options vis_backends=tensorboard
    --cfg-options vis_backends=tensorboard,wandb

Configs pass the top-level variable ``vis_backends`` to ``visualizer`` once, so changing the variable later has no effect. This module
converts names in it to backends and puts them into ``visualizer``. A list of dicts, the usual form in OpenMMLab's configs, is not changed.
"""

import difflib
import importlib.util
from typing import Any, Dict, List

from mmengine.config import Config

from .errors import UserError

BACKENDS: Dict[str, Dict[str, Any]] = dict(
    local=dict(type='LocalVisBackend'),
    tensorboard=dict(type='TensorboardVisBackend'),
    wandb=dict(type='WandbVisBackend', init_kwargs=dict(mode='offline')),
)
"""The backend of each name. WandB writes to the work folder only; ``wandb sync`` uploads a run later."""

PACKAGES = dict(tensorboard='tensorboard', wandb='wandb')


def apply_vis_backends(cfg: Config) -> None:
    """Set the visualizer's backends to those that ``vis_backends`` names.

    The local backend is always added, because other tools read the JSON log that it writes.

    Raises:
        UserError: For an unknown name, or a backend whose package is not installed.
    """
    words = cfg.get('vis_backends')
    words = [words] if isinstance(words, str) else words
    if not words or not all(isinstance(word, str) for word in words):
        return
    cfg.vis_backends = [_backend(word) for word in dict.fromkeys(['local', *words])]
    if cfg.get('visualizer') is None:
        cfg.visualizer = dict(type='Visualizer')
    cfg.visualizer.vis_backends = cfg.vis_backends


def _backend(word: str) -> Dict[str, Any]:
    if word not in BACKENDS:
        near: List[str] = difflib.get_close_matches(word.lower(), BACKENDS, n=1, cutoff=0.4)
        hint = f' Did you mean {near[0]}?' if near else ''
        raise UserError(
            f'vis_backends={word}: expected {", ".join(BACKENDS)}, or several of them separated by commas.{hint}'
        )
    package = PACKAGES.get(word)
    if package and importlib.util.find_spec(package) is None:
        raise UserError(
            f'vis_backends={word} needs the package {package}, which is not installed. Install it: pip install {package}.'
        )
    return {**BACKENDS[word]}
