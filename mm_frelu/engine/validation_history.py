"""Every validation of a training, kept with the run: where it started, how it went, where it ended."""

from typing import Any, Dict, List, Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mm_frelu.registry import HOOKS

_KEY = 'validation_history'


@HOOKS.register_module()
class ValidationHistoryHook(Hook):
    """Keep the metrics of each validation in the message hub, which checkpoints carry: a continued run has all of them.

    Args:
        at_start (bool): Whether to validate before the first step too, on the weights as they were loaded. MMEngine has
            no such option, and what a checkpoint is worth inside another model shows at no other time.
    """

    # After CheckpointHook, which prepares its folder in before_train.
    priority = 'LOWEST'

    def __init__(self, at_start: bool = False) -> None:
        self.at_start = at_start

    def before_train(self, runner: Runner) -> None:
        """Validate untrained, once: not again in a run that is continued."""
        if self.at_start and runner.iter == 0:
            runner.val_loop.run()
            runner.model.train()

    def after_val_epoch(self, runner: Runner, metrics: Optional[Dict[str, Any]] = None) -> None:
        """Add the metrics; numbers only, so that a checkpoint with them loads without unpickling objects."""
        entry: Dict[str, float] = {'iter': runner.iter}
        for key, value in (metrics or {}).items():
            try:
                entry[key] = float(value)
            except (TypeError, ValueError):  # a metric may be a text or a table
                continue
        runner.message_hub.update_info(_KEY, [*validation_history(runner), entry])


def validation_history(runner: Runner) -> List[Dict[str, float]]:
    """The validations of a run, oldest first: ``{'iter': ..., metric: value, ...}``."""
    return runner.message_hub.get_info(_KEY) or []
