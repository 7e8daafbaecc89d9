"""Does the optimizer of a checkpoint belong to the one that the config builds? Asked when a run is continued.

PyTorch compares the numbers of groups and parameters and speaks of "a loaded state dict"; over the state of another kind of optimizer it
stumbles with a KeyError. Learning rates and schedules of the checkpoint replace those of the config without a word.
"""

from typing import Any, Dict, List, Optional

from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from .errors import UserError

_RUNNING = ('last_step', '_global_step', '_last_value', 'base_values', 'verbose', '_last_lr')
"""What a scheduler's state holds that changes while it runs."""


def check_resumable(runner: Runner, checkpoint: Dict[str, Any], source: str) -> Optional[str]:
    """Compare the optimizer's groups and the schedules, before the Runner loads them.

    Args:
        runner: A Runner with an optimizer; one with several is not looked at.
        checkpoint: The loaded checkpoint.
        source: Its file name, for messages.

    Returns:
        One sentence on settings of the config that the checkpoint's replace, or on an optimizer that begins anew; None where
            the run goes on as it was.

    Raises:
        UserError: When the checkpoint holds no run, or its optimizer cannot go on as the one of the config.
    """
    if 'message_hub' not in checkpoint or 'iter' not in checkpoint.get('meta', {}):
        raise UserError(
            f'--resume: {source} holds weights alone, and no run to go on with (found: {", ".join(checkpoint)}). Begin a run '
            f'from them: --cfg-options load_from={source}, without --resume.'
        )
    saved = checkpoint.get('optimizer')
    if saved is None:
        return f'--resume: {source} was saved without its optimizer (save_optimizer=False): momentum and the like begin anew.'
    wrapper = runner.optim_wrapper
    if (
        not isinstance(saved, dict)
        or 'param_groups' not in saved
        or not isinstance(wrapper, OptimWrapper)
    ):
        return None
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
