"""Several processes, one set of running statistics: what is validated, saved and resumed is the same model everywhere.

A BN layer in training mode moves its running statistics by the batches of its own process. MMEngine validates each process's images
with that process's statistics and saves those of the first, so the metrics of the log are not those of the checkpoint. MMEngine's
``SyncBuffersHook`` averages before validation, which iteration-based training reaches after the checkpoint is written.
"""

from typing import Any, List

from mmengine.dist import all_reduce_params, get_world_size
from mmengine.hooks import Hook
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm, _InstanceNorm
from torch import Tensor, nn

from mm_frelu.registry import HOOKS


@HOOKS.register_module()
class SyncStatisticsHook(Hook):
    """Average running statistics over the processes after each training iteration.

    Running statistics are linear in those of the batches, so the average is what BN would have gathered from the statistics of all
    processes' batches, and how often it is taken changes nothing but what the others see in between. Done in each iteration, it
    needs no knowledge of who reads next (validation, checkpoint, EMA, a user's hook). It is one all-reduce; DDP's own default,
    which MMEngine switches off, sends all buffers as often. Training itself does not change: in training mode BN does not read
    them.

    Layers in evaluation mode (``norm_eval=True``) do not move and SyncBN agrees already; both are left out.
    """

    # Before EMAHook and the user's hooks copy them.
    priority = 'HIGH'

    def after_train_iter(self, runner, *args: Any, **kwargs: Any) -> None:
        """Average."""
        if get_world_size() > 1:
            all_reduce_params(moving_statistics(runner.model), op='mean')


def moving_statistics(model: nn.Module) -> List[Tensor]:
    """Running means and variances that training moves in each process on its own."""
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
