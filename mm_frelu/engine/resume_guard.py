"""Can the run of a checkpoint go on as the config describes it?

A checkpoint may lack the optimizer and the schedules, be of another optimizer, hold NaN, or be further than the config goes. Without these
checks MMEngine goes on with another learning rate, or ends in a KeyError of PyTorch. Learning rates and schedules of the checkpoint replace
those of the config without a word.
"""

import ast
from typing import Any, Dict, List, Optional

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from .errors import UserError

_RUNNING = ('last_step', '_global_step', '_last_value', 'base_values', 'verbose', '_last_lr')
"""What a scheduler's state holds that changes while it runs."""


def check_resumable(runner: Runner, checkpoint: Dict[str, Any], source: str) -> Optional[str]:
    """Compare progress, optimizer and schedules with the config, before the Runner loads them.

    Args:
        runner: A Runner with an optimizer; one with several is not looked at.
        checkpoint: The loaded checkpoint.
        source: Its file name, for messages.

    Returns:
        Sentences on settings of the config that the checkpoint's replace, on what begins anew and on a run that is at its end; None
            where the run goes on as it was.

    Raises:
        UserError: When the checkpoint holds no run, only a part of one, or NaN, is beyond the end of the config, or its optimizer cannot
            go on as the one of the config.
    """
    if 'message_hub' not in checkpoint or 'iter' not in checkpoint.get('meta', {}):
        raise UserError(
            f'--resume: {source} holds weights alone, and no run to go on with (found: {", ".join(checkpoint)}). Begin a run '
            f'from them: --cfg-options load_from={source}, without --resume.'
        )
    # EMAHook, which runs before, has exchanged the two.
    for weights in ('state_dict', 'ema_state_dict'):
        _require_numbers(checkpoint.get(weights, {}), source)
    notices = [_progress(runner, checkpoint['meta'], source), _left_out(runner, checkpoint, source)]
    saved = checkpoint.get('optimizer')
    if isinstance(saved, dict) and 'param_groups' in saved:
        notices.append(_compare_optimizers(runner, checkpoint, source))
    return ' '.join(filter(None, notices)) or None


def _require_numbers(weights: Dict[str, Any], source: str) -> None:
    """Refuse weights that are not numbers. Infinity is left alone: masks of attention consist of it."""
    bad = [
        key for key, value in weights.items() if torch.is_tensor(value) and torch.isnan(value).any()
    ]
    if bad:
        raise UserError(
            f'--resume: {source} has NaN in {len(bad)} of its {len(weights)} tensors, e.g. {bad[0]}: training had diverged before it '
            'was saved. Go on from an earlier checkpoint with --resume PATH, or begin anew with a smaller learning rate.'
        )


def _progress(runner: Runner, meta: Dict[str, Any], source: str) -> Optional[str]:
    """Where the checkpoint stands in the training that the config describes."""
    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop):
        unit, done, end = 'epoch', meta.get('epoch', 0), loop.max_epochs
    else:
        unit, done, end = 'iter', meta['iter'], loop.max_iters
    if done > end:
        raise UserError(
            f'--resume: {source} was saved at {unit} {done}, and the config ends at {unit} {end}. Raise train_cfg.max_{unit}s to train '
            f'on, or begin a run from its weights with --cfg-options load_from={source} and without --resume.'
        )
    if done == end:
        return f'--resume: {source} was saved at {unit} {done}, where the config ends: nothing is left to train.'
    return None


def _left_out(runner: Runner, checkpoint: Dict[str, Any], source: str) -> Optional[str]:
    """Name the parts of a run that a checkpoint lacks; best checkpoints of MMEngine have weights alone.

    Raises:
        UserError: Unless the config says that its checkpoints are to be saved without.
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
        return f'--resume: {source} was saved without {what} ({options}), which begin anew.'
    raise UserError(
        f'--resume: {source} was saved without {what}, as best_*.pth are: the run cannot go on as it was. Resume from iter_*.pth or '
        f'epoch_*.pth (--resume alone takes the newest), or begin a run from these weights with --cfg-options load_from={source} and '
        'without --resume.'
    )


def _compare_optimizers(runner: Runner, checkpoint: Dict[str, Any], source: str) -> Optional[str]:
    saved = checkpoint['optimizer']
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):
        return None
    old, new = _name_in_text(checkpoint['meta'].get('cfg')), _name_in_config(runner.cfg)
    reason: Optional[str]
    if old is not None and new is not None and old != new:
        reason = f"has the state of another optimizer, {old}, than the config's {new}"
    else:
        reason = _other_optimizer(saved['param_groups'], wrapper.optimizer)
    if reason is not None:
        raise UserError(
            f'--resume: {source} {reason}. A run goes on with the optimizer that it began with: take back what was changed in '
            f'optim_wrapper (its optimizer, constructor or paramwise_cfg), or begin a new run from these weights with '
            f'--cfg-options load_from={source} and without --resume.'
        )
    changed = [
        *_changed_options(saved['param_groups'], wrapper.optimizer.param_groups),
        *_changed_schedules(checkpoint.get('param_schedulers'), runner.param_schedulers),
    ]
    if not changed:
        return None
    return (
        f'--resume: the run goes on with the settings of {source}, not with those of the config, which differ: '
        f'{"; ".join(changed)}. To train with the new ones, begin a run with load_from in place of --resume.'
    )


def _name_in_config(cfg: Any) -> Optional[str]:
    kind = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('type')
    return kind.rpartition('.')[2] if isinstance(kind, str) else None


def _name_in_text(text: Any) -> Optional[str]:
    """The type of the optimizer in the config that MMEngine stores in a checkpoint: read from its syntax, because executing it runs code."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, TypeError, ValueError, RecursionError):
        return None
    for statement in statements:
        if (
            isinstance(statement, ast.Assign)
            and ast.unparse(statement.targets[0]) == 'optim_wrapper'
        ):
            kind = _entry(_entry(statement.value, 'optimizer'), 'type')
            value = getattr(kind, 'value', None)
            return value.rpartition('.')[2] if isinstance(value, str) else None
    return None


def _entry(node: Optional[ast.AST], key: str) -> Optional[ast.AST]:
    """An entry of ``dict(...)`` in a syntax tree."""
    keywords = node.keywords if isinstance(node, ast.Call) else ()
    return next((keyword.value for keyword in keywords if keyword.arg == key), None)


def _other_optimizer(saved: List[Dict[str, Any]], optimizer: Any) -> Optional[str]:
    current = optimizer.param_groups
    # A newer torch may know further options, so each side must have one that the other lacks.
    known = set(optimizer.defaults)
    stored = {key for key in saved[0] if key not in ('params', 'initial_lr')} if saved else set()
    if stored - known and known - stored:
        return (
            f"has the state of another optimizer than the config's {type(optimizer).__name__} (its options are "
            f'{", ".join(sorted(stored))})'
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
                changes[f'{key} {old} there and {new} here'] = None
    return list(changes)[:3]


def _changed_schedules(saved: Any, current: Any) -> List[str]:
    if not isinstance(saved, list) or not isinstance(current, list):
        return []
    if len(saved) != len(current):
        return [f'{len(saved)} param_schedulers there and {len(current)} here']
    changes = []
    for index, (theirs, scheduler) in enumerate(zip(saved, current)):
        ours = scheduler.state_dict()
        keys = [key for key in ours if key in theirs and key not in _RUNNING]
        changes += [
            f'param_scheduler.{index}.{key} {theirs[key]} there and {ours[key]} here'
            for key in keys
            if repr(theirs[key]) != repr(ours[key])
        ]
    return changes[:3]
