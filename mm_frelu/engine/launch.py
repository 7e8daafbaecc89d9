"""Build a guarded Runner from a config, for training and testing; and train."""

from typing import Any, Sequence

from mmengine.config import Config
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
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
    """Start the process group if there is a launcher, add the guard hooks, and build the Runner.

    Args:
        cfg (Config): A config with ``launcher`` and ``work_dir``.
        strict (bool): Whether every weight of a loaded checkpoint must fit, as for testing and resuming.

    Returns:
        Runner: A :class:`GuardedRunner`, or the config's own ``runner_type``.
    """
    apply_vis_backends(cfg)
    prepare_distributed(cfg)
    add_hook(cfg, 'CheckpointGuardHook', strict=strict)
    if cfg.get('launcher', 'none') != 'none':
        add_hook(cfg, 'SyncStatisticsHook')
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return GuardedRunner.from_cfg(cfg)


def add_hook(cfg: Config, kind: str, **settings: Any) -> None:
    """Add a hook of this package to the custom hooks, or update it if the config already has it.

    Args:
        cfg (Config): The config, changed in place.
        kind (str): Type of the hook, without scope.
        **settings: Its arguments.
    """
    hooks = cfg.get('custom_hooks') or []
    for hook in hooks:
        if isinstance(hook, dict) and hook.get('type') in (f'mm_frelu.{kind}', kind):
            hook.update(settings)
            return
    cfg.custom_hooks = [*hooks, dict(type=f'mm_frelu.{kind}', **settings)]


def use_safe_checkpoint_hook(cfg: Config) -> None:
    """Replace MMEngine's default CheckpointHook with :class:`~mm_frelu.engine.checkpoint_hook.CheckpointHook`."""
    cfg['default_hooks'] = cfg.get('default_hooks') or {}
    hooks = cfg['default_hooks']  # a Config stores a copy
    hook = hooks.setdefault('checkpoint', dict(type='CheckpointHook'))
    if isinstance(hook, dict) and hook.get('type') in (
        'CheckpointHook',
        'mmengine.CheckpointHook',
        MMEngineCheckpointHook,
    ):
        hook['type'] = 'mm_frelu.CheckpointHook'


def train(cfg: Config, notices: Sequence[str] = ()) -> Runner:
    """Check the data and the weights that a training config names, then train.

    Args:
        cfg (Config): The config.
        notices (Sequence[str]): Messages to log once the Runner, and with it the log, exists.

    Returns:
        Runner: The Runner, with the trained model.

    Raises:
        UserError: When the config, the data or the weights are wrong.
    """
    require_keys(cfg, ('train_dataloader', 'train_cfg', 'optim_wrapper', 'model'), 'training')
    require_library(cfg)
    try:
        with explained(cfg, 'train_dataloader') as built:
            check_pretrained_files(cfg.model, hint=cfg.get('weights_hint') or '')
            check_datasets(cfg, ('train_dataloader', 'val_dataloader'))
            check_pretrained_addresses(cfg.model)
            use_safe_checkpoint_hook(cfg)
            runner = build_runner(cfg, strict=bool(cfg.get('resume')))
            built.append(runner)
            for notice in notices:
                runner.logger.warning(notice)
            runner.train()
    finally:
        close_distributed()
    return runner


def require_keys(cfg: Config, keys: Sequence[str], purpose: str) -> None:
    """Raise if a config lacks keys that a tool needs.

    Raises:
        UserError: With the missing keys.
    """
    missing = [key for key in keys if cfg.get(key) is None]
    if missing:
        raise UserError(f'{cfg.filename}: {purpose} needs {", ".join(missing)} in the config.')
