"""Numbers about the activations in the log of a training."""

from typing import Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mm_frelu.engine.checkpoint_guard import unwrap, warn
from mm_frelu.registry import HOOKS

from .statistics import ActivationStatistics


@HOOKS.register_module()
class ActivationStatisticsHook(Hook):
    """Log how often FReLU chooses its window and how much DY-ReLU bends, layer by layer, to the visualiser's backends.

    Off unless a config has it. On one command line: ``--cfg-options
    default_hooks.activations.type=mm_frelu.ActivationStatisticsHook``.

    ``activation/window_share/LAYER`` is the share of the values at which :math:`T(x) > x`; ``activation/gamma_norm/LAYER`` the L2
    norm of the scales behind the window, which ``init='identity'`` starts at 0; ``activation/slope_difference/LAYER`` the mean of
    :math:`|a^1 - a^2|` of DY-ReLU over the images and channels of the batch.

    A model that ``torch.compile`` has compiled is not watched: its graph may not call what is put onto a module later. Only the
    norms of gamma are logged then.

    Args:
        interval (int): Every how many steps one is watched. That step takes longer, and some more memory, since an activation
            is not fused with the norm before it while somebody looks at its input.
    """

    # Before LoggerHook (BELOW_NORMAL), after what changes the model.
    priority = 'NORMAL'

    def __init__(self, interval: int = 100) -> None:
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(
                f'ActivationStatisticsHook: interval is a number of steps, 1 or more; got {interval!r}.'
            )
        self.interval = interval
        self._statistics: Optional[ActivationStatistics] = None
        self._watching = False

    def before_train(self, runner: Runner) -> None:
        """Find the activations."""
        self._statistics = ActivationStatistics(unwrap(runner.model))
        if not len(self._statistics):
            warn(
                'ActivationStatisticsHook: the model has no FReLU, LightFReLU or DY-ReLU; there is nothing to log.'
            )
            self._statistics = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Begin to watch."""
        if self._statistics is not None and self.every_n_train_iters(runner, self.interval):
            self._statistics.start()
            self._watching = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        """Log what was seen, under the step that LoggerHook would give it."""
        if self._watching and self._statistics is not None:
            self._watching = False
            values = self._statistics.stop()
            if values:
                step = runner.iter + 1
                # 'iter' as LoggerHook has it: WandB takes no step, and puts it on no axis otherwise.
                runner.visualizer.add_scalars({**values, 'iter': step}, step=step)
