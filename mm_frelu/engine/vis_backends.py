"""``vis_backends`` by one word: what a training is logged to beside its own files.

    --cfg-options vis_backends=tensorboard
    --cfg-options vis_backends=tensorboard,wandb

Configs keep the backends inside ``visualizer``; the top-level variable of that name is read once, by the config file. Words in it are
turned into the backends here. A list of dicts, as OpenMMLab's configs have it, is left alone.
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
"""What each word stands for. WandB writes to the work folder only; ``wandb sync`` sends a run later, if that is wanted."""

PACKAGES = dict(tensorboard='tensorboard', wandb='wandb')


def apply_vis_backends(cfg: Config) -> None:
    """Give the visualizer of a config the backends that ``vis_backends`` names by words.

    The local backend, which writes the JSON log that other tools read, is always one of them.

    Raises:
        UserError: For an unknown word, or a backend whose package is not installed.
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
            f'vis_backends={word}: expected {", ".join(BACKENDS)}, or several of them with commas.{hint}'
        )
    package = PACKAGES.get(word)
    if package and importlib.util.find_spec(package) is None:
        raise UserError(
            f'vis_backends={word} needs the package {package}, which is not installed: pip install {package}.'
        )
    return {**BACKENDS[word]}
