"""A hook that keeps the metrics of every validation of a run, in its checkpoints too."""

from typing import Any, Dict, List, Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mm_frelu.registry import HOOKS

_KEY = 'validation_history'


@HOOKS.register_module()
class ValidationHistoryHook(Hook):
    """Keep the metrics of each validation in the message hub. Checkpoints save it, so a resumed run has all of them.

    Args:
        at_start (bool): Whether to validate before the first step too. This shows the accuracy of loaded weights before
            training changes them. MMEngine has no such option.
    """

    # After CheckpointHook, which prepares its folder in before_train.
    priority = 'LOWEST'

    def __init__(self, at_start: bool = False) -> None:
        self.at_start = at_start

    def before_train(self, runner: Runner) -> None:
        """Validate once before the first step; a resumed run does not do it again."""
        if self.at_start and runner.iter == 0:
            runner.val_loop.run()
            runner.model.train()

    def after_val_epoch(self, runner: Runner, metrics: Optional[Dict[str, Any]] = None) -> None:
        """Add the metrics. Only numbers are kept, so that loading a checkpoint does not unpickle objects."""
        entry: Dict[str, float] = {'iter': runner.iter}
        for key, value in (metrics or {}).items():
            try:
                entry[key] = float(value)
            except (TypeError, ValueError):  # a metric may be a string or a table
                continue
        runner.message_hub.update_info(_KEY, [*validation_history(runner), entry])


def validation_history(runner: Runner) -> List[Dict[str, float]]:
    """Return the validations of a run, oldest first, each as ``{'iter': ..., metric: value, ...}``."""
    return runner.message_hub.get_info(_KEY) or []
