"""Check whether a run can resume from a checkpoint as the config describes it.

A checkpoint may lack the optimizer and the schedules, belong to another optimizer, contain NaN, or be past the end of the config. Without
these checks MMEngine continues with another learning rate, or stops with a KeyError of PyTorch. MMEngine also replaces the learning rates
and schedules of the config with those of the checkpoint without a message.
"""

from typing import Any, Dict, List, Optional

import torch
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from .config_types import kind_of
from .errors import UserError
from .preprocessing import find_entry, recorded_config

_RUNNING = ('last_step', '_global_step', '_last_value', 'base_values', 'verbose', '_last_lr')
"""Entries of a scheduler's state that change while it runs."""


def check_resumable(runner: Runner, checkpoint: Dict[str, Any], source: str) -> Optional[str]:
    """Compare progress, optimizer and schedules with the config, before the Runner loads them.

    Args:
        runner: The Runner. Several optimizers in one wrapper are not compared.
        checkpoint: The loaded checkpoint.
        source: Its file name, for messages.

    Returns:
        A message about config settings that the checkpoint overrides, parts that start from the beginning, averaged weights, or a run
            that is already complete; None if the run continues unchanged.

    Raises:
        UserError: When the checkpoint has weights only, lacks a part of the run, contains NaN, is past the end of the config, or its
            optimizer does not match the config.
    """
    if (
        'message_hub' not in checkpoint
        or not {'epoch', 'iter'} <= checkpoint.get('meta', {}).keys()
    ):
        raise UserError(
            f'--resume: {source} has weights only, not the state of a run (found: {", ".join(checkpoint)}). Start a new run '
            f'from them: --cfg-options load_from={source}, without --resume.'
        )
    # EMAHook runs before this hook and has swapped the two.
    for weights in ('state_dict', 'ema_state_dict'):
        _require_numbers(checkpoint.get(weights, {}), source)
    notices = [
        _progress(runner, checkpoint['meta'], source),
        _left_out(runner, checkpoint, source),
        _averages(runner, checkpoint, source),
    ]
    saved = checkpoint.get('optimizer')
    if isinstance(saved, dict) and 'param_groups' in saved:
        notices.append(_compare_optimizers(runner, checkpoint, source))
    return ' '.join(filter(None, notices)) or None


def _require_numbers(weights: Dict[str, Any], source: str) -> None:
    """Raise if weights contain NaN. Infinity is legal: attention masks consist of it."""
    bad = [
        key for key, value in weights.items() if torch.is_tensor(value) and torch.isnan(value).any()
    ]
    if bad:
        raise UserError(
            f'--resume: {source} has NaN in {len(bad)} of its {len(weights)} tensors, e.g. {bad[0]}: training had diverged before it '
            'was saved. Resume from an earlier checkpoint with --resume PATH, or start a new run with a smaller learning rate.'
        )


def _progress(runner: Runner, meta: Dict[str, Any], source: str) -> Optional[str]:
    """Compare the checkpoint's epoch or iteration with the end of training in the config."""
    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop):
        unit, done, end = 'epoch', meta['epoch'], loop.max_epochs
    else:
        unit, done, end = 'iter', meta['iter'], loop.max_iters
    if done > end:
        raise UserError(
            f'--resume: {source} was saved at {unit} {done}, and the config ends at {unit} {end}. Raise train_cfg.max_{unit}s to '
            f'continue, or start a new run from its weights with --cfg-options load_from={source} and without --resume.'
        )
    if done == end:
        return f'--resume: {source} was saved at {unit} {done}, where the config ends: nothing is left to train.'
    return None


def _left_out(runner: Runner, checkpoint: Dict[str, Any], source: str) -> Optional[str]:
    """Name the parts of a run that a checkpoint lacks. MMEngine's best checkpoints have weights only.

    Raises:
        UserError: Unless the config says that checkpoints are saved without these parts.
    """
    parts = {
        'optimizer': ('save_optimizer', 'its optimizer'),
        'param_schedulers': ('save_param_scheduler', 'its learning rate schedules'),
    }
    missing = [key for key in parts if key not in checkpoint]
    if not runner.param_schedulers and 'param_schedulers' in missing:
        missing.remove('param_schedulers')
    if not missing:
        return None
    what = ' and '.join(parts[key][1] for key in missing)
    hook = (runner.cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if all(hook.get(parts[key][0]) is False for key in missing):
        options = ', '.join(f'{parts[key][0]}=False' for key in missing)
        return f'--resume: {source} was saved without {what} ({options}), which start from the beginning.'
    raise UserError(
        f'--resume: {source} was saved without {what}, like best_*.pth: the run cannot continue. Resume from iter_*.pth or '
        f'epoch_*.pth (--resume without a path takes the newest), or start a new run from these weights with --cfg-options '
        f'load_from={source} and without --resume.'
    )


def _averages(runner: Runner, checkpoint: Dict[str, Any], source: str) -> Optional[str]:
    """Report that a run would continue from averages. EMAHook saves them as the weights, and swaps them when it resumes."""
    if 'ema_state_dict' not in checkpoint or any(
        isinstance(hook, EMAHook) for hook in runner.hooks
    ):
        return None
    return (
        f'--resume: {source} was saved with EMAHook, which the config does not have: the run continues from the averaged weights, '
        "not from the optimizer's. Add dict(type='EMAHook') to custom_hooks to continue as before."
    )


def _compare_optimizers(runner: Runner, checkpoint: Dict[str, Any], source: str) -> Optional[str]:
    saved = checkpoint['optimizer']
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):
        return None
    old, new = (_optimizer_name(cfg) for cfg in (recorded_config(checkpoint['meta']), runner.cfg))
    reason: Optional[str]
    if old is not None and new is not None and old != new:
        reason = f'has the state of the optimizer {old}, and the config has {new}'
    else:
        reason = _other_optimizer(saved['param_groups'], wrapper.optimizer)
    if reason is not None:
        raise UserError(
            f'--resume: {source} {reason}. A run must continue with the optimizer that it started with: undo the changes in '
            f'optim_wrapper (its optimizer, constructor or paramwise_cfg), or start a new run from these weights with '
            f'--cfg-options load_from={source} and without --resume.'
        )
    changed = [
        *_changed_options(saved['param_groups'], wrapper.optimizer.param_groups),
        *_changed_schedules(checkpoint.get('param_schedulers'), runner.param_schedulers),
    ]
    if not changed:
        return None
    return (
        f'--resume: the run continues with the settings of {source}, not with those of the config, which differ: '
        f'{"; ".join(changed)}. To train with the new ones, start a new run with load_from instead of --resume.'
    )


def _optimizer_name(cfg: Any) -> Optional[str]:
    optimizer = find_entry(cfg.get('optim_wrapper'), 'optimizer')
    return kind_of(optimizer) if optimizer and optimizer.get('type') else None


def _other_optimizer(saved: List[Dict[str, Any]], optimizer: Any) -> Optional[str]:
    current = optimizer.param_groups
    # A newer torch may have more options, so each side must have one that the other lacks.
    known = set(optimizer.defaults)
    stored = {key for key in saved[0] if key not in ('params', 'initial_lr')} if saved else set()
    if stored - known and known - stored:
        return (
            f'has the state of another optimizer (with the options {", ".join(sorted(stored))}), and the config has '
            f'{type(optimizer).__name__}'
        )
    if len(saved) != len(current):
        return f'has {len(saved)} parameter groups in its optimizer, and the config makes {len(current)}'
    for index, (theirs, ours) in enumerate(zip(saved, current)):
        if len(theirs['params']) != len(ours['params']):
            return (
                f'has {len(theirs["params"])} parameters in group {index} of its optimizer, and the config puts '
                f'{len(ours["params"])} there'
            )
    return None


def _changed_options(saved: List[Dict[str, Any]], current: List[Dict[str, Any]]) -> List[str]:
    changes: Dict[str, None] = {}
    for theirs, ours in zip(saved, current):
        for key in ('lr', 'weight_decay', 'momentum', 'betas'):
            # A schedule has changed lr since.
            name = 'initial_lr' if key == 'lr' and 'initial_lr' in theirs else key
            old, new = theirs.get(name), ours.get(name, ours.get(key))
            if old is not None and new is not None and old != new:
                changes[f'{key} {old} in the checkpoint and {new} in the config'] = None
    return list(changes)[:3]


def _changed_schedules(saved: Any, current: Any) -> List[str]:
    if not isinstance(saved, list) or not isinstance(current, list):
        return []
    if len(saved) != len(current):
        return [f'{len(saved)} param_schedulers in the checkpoint and {len(current)} in the config']
    changes = []
    for index, (theirs, scheduler) in enumerate(zip(saved, current)):
        ours = scheduler.state_dict()
        keys = [key for key in ours if key in theirs and key not in _RUNNING]
        changes += [
            f'param_scheduler.{index}.{key} {theirs[key]} in the checkpoint and {ours[key]} in the config'
            for key in keys
            if repr(theirs[key]) != repr(ours[key])
        ]
    return changes[:3]
