"""Predict whether validation follows the current training step."""

import bisect

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner


def validation_follows(runner: Runner, step: int, by_epoch: bool) -> bool:
    """Whether MMEngine's training loop validates next. The loop itself does not expose this.

    Args:
        runner: A Runner that trains.
        step: Number of finished epochs or iterations, including the current one.
        by_epoch: Whether ``step`` counts epochs.

    Returns:
        True if validation follows; False also for loops other than MMEngine's two, and if the loop counts the other unit.
    """
    loop = runner.train_loop
    if runner.val_loop is None:
        return False
    if isinstance(loop, EpochBasedTrainLoop) and by_epoch:
        end = loop.max_epochs
    elif isinstance(loop, IterBasedTrainLoop) and not by_epoch:
        end = loop.max_iters
    else:
        return False
    # Like the loops, which look one step ahead for intervals that change during training.
    interval = loop.dynamic_intervals[bisect.bisect(loop.dynamic_milestones, step + 1) - 1]
    return step >= loop.val_begin and (step % interval == 0 or step == end)
