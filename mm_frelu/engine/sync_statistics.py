"""A hook that averages BN's running statistics over processes, so that all of them validate, save and resume the same model.

In training mode, a BN layer updates its running statistics from the batches of its own process. MMEngine validates the images of each
process with its own statistics, but saves those of the first process. The metrics in the log are then not those of the checkpoint.
MMEngine's ``SyncBuffersHook`` averages before validation, but iteration-based training writes the checkpoint before that.
"""

from typing import Any, List

from mmengine.dist import all_reduce_params, get_world_size
from mmengine.hooks import Hook
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm, _InstanceNorm
from torch import Tensor, nn

from mm_frelu.registry import HOOKS


@HOOKS.register_module()
class SyncStatisticsHook(Hook):
    """Average the running statistics over all processes after each training iteration.

    Running statistics are linear in the statistics of the batches. The average is therefore the same as if BN had updated them from the
    batches of all processes. Averaging in each iteration means that the statistics are right for any reader: validation, checkpoint,
    EMA or a user's hook. It costs one all-reduce; DDP's default, which MMEngine turns off, broadcasts all buffers as often. Training
    itself does not change, because BN does not read running statistics in training mode.

    Layers in evaluation mode (``norm_eval=True``) and SyncBN layers are left out: their statistics are the same in all processes.
    """

    # Runs before EMAHook and the user's hooks copy the statistics.
    priority = 'HIGH'

    def after_train_iter(self, runner, *args: Any, **kwargs: Any) -> None:
        """Average the running statistics if there are several processes."""
        if get_world_size() > 1:
            all_reduce_params(moving_statistics(runner.model), op='mean')


def moving_statistics(model: nn.Module) -> List[Tensor]:
    """Return the running means and variances that training updates in each process separately."""
    return [
        statistics
        for module in model.modules()
        if isinstance(module, (_BatchNorm, _InstanceNorm))
        and not isinstance(module, nn.SyncBatchNorm)
        and module.training
        and module.track_running_stats
        for statistics in (module.running_mean, module.running_var)
        if statistics is not None
    ]
