"""Does validation follow the training step that has just ended?"""

import bisect

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner


def validation_follows(runner: Runner, step: int, by_epoch: bool) -> bool:
    """Whether MMEngine's training loop validates next; it does not say.

    Args:
        runner: A Runner that trains.
        step: Epochs or iterations done, the one that is just ending included.
        by_epoch: Which of the two ``step`` counts.

    Returns:
        False for loops other than MMEngine's two, and where the loop counts the other unit.
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
    # As in the loops, which look one step ahead for intervals that change during training.
    interval = loop.dynamic_intervals[bisect.bisect(loop.dynamic_milestones, step + 1) - 1]
    return step >= loop.val_begin and (step % interval == 0 or step == end)
