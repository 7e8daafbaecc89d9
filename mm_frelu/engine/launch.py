"""From a config to a guarded Runner: the part that training and testing share."""

from typing import Sequence

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mm_frelu.datasets.check_dataset import check_datasets

from .arguments import require_library
from .checkpoint_file import check_pretrained_addresses, check_pretrained_files
from .distributed import close_distributed, prepare_distributed
from .errors import UserError
from .library_errors import explained
from .runner import GuardedRunner
from .vis_backends import apply_vis_backends


def build_runner(cfg: Config, strict: bool) -> Runner:
    """Start the process group where there is a launcher, add the guards, and build the Runner.

    Args:
        cfg (Config): A config with ``launcher`` and ``work_dir``.
        strict (bool): Whether every weight of a loaded checkpoint has to fit (testing, resuming).

    Returns:
        Runner: A :class:`GuardedRunner`, or the config's own ``runner_type``.
    """
    apply_vis_backends(cfg)
    prepare_distributed(cfg)
    add_checkpoint_guard(cfg, strict)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return GuardedRunner.from_cfg(cfg)


def add_checkpoint_guard(cfg: Config, strict: bool) -> None:
    """Put :class:`CheckpointGuardHook` among the custom hooks, once."""
    hooks = cfg.get('custom_hooks') or []
    kinds = ('mm_frelu.CheckpointGuardHook', 'CheckpointGuardHook')
    for hook in hooks:
        if isinstance(hook, dict) and hook.get('type') in kinds:
            hook['strict'] = strict
            return
    cfg.custom_hooks = [*hooks, dict(type=kinds[0], strict=strict)]


def train(cfg: Config) -> Runner:
    """Check the data and the weights that a training config names, then train.

    Returns:
        Runner: The Runner, with the trained model.

    Raises:
        UserError: When something is the user's to mend.
    """
    require_keys(cfg, ('train_dataloader', 'train_cfg', 'optim_wrapper', 'model'), 'training')
    require_library(cfg)
    check_pretrained_files(cfg.model, hint=cfg.get('weights_hint') or '')
    check_datasets(cfg, ('train_dataloader', 'val_dataloader'))
    check_pretrained_addresses(cfg.model)
    try:
        with explained(cfg, 'train_dataloader') as built:
            runner = build_runner(cfg, strict=bool(cfg.get('resume')))
            built.append(runner)
            runner.train()
    finally:
        close_distributed()
    return runner


def require_keys(cfg: Config, keys: Sequence[str], purpose: str) -> None:
    """Raise when a config lacks what a tool is to run.

    Raises:
        UserError: Naming the missing keys.
    """
    missing = [key for key in keys if cfg.get(key) is None]
    if missing:
        raise UserError(f'{cfg.filename}: {purpose} needs {", ".join(missing)} in the config.')
